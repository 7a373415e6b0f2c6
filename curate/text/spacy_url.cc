// What spaCy's tokenizer leaves in one piece because it is a URL. Tested by tests/curate/text/words_test.cc.
#include "curate/text/spacy_url.h"

#include <string_view>

#include "base/unicode.h"
#include "curate/text/english.h"

namespace curate {
using namespace character;
namespace {

class Url {
 public:
  Url(std::span<const std::uint32_t> points, std::span<const std::uint32_t> classes)
      : points_(points.data()), classes_(classes.data()), size_(static_cast<std::uint32_t>(points.size())) {}

  bool is_url() const {
    bool dot = false;
    for (std::uint32_t i = 0; i < size_ && !dot; ++i) dot = points_[i] == '.';
    if (!dot) return false;
    if (is_host(0)) return true;
    std::uint32_t scheme = 0;
    while (scheme < size_ && (points_[scheme] == '+' || points_[scheme] == '-' || points_[scheme] == '.' ||
                              base::is_word_character(points_[scheme]))) {
      ++scheme;
    }
    if (scheme >= 2 && scheme + 2 < size_ && points_[scheme] == ':' && points_[scheme + 1] == '/' &&
        points_[scheme + 2] == '/' && is_host(scheme + 3)) {
      return true;
    }
    for (std::uint32_t i = 1; i + 1 < size_; ++i) {  // user:password@
      if (points_[i] == '@' && is_host(i + 1)) return true;
    }
    return false;
  }

 private:
  bool is(std::uint32_t index, std::uint32_t classes) const { return classes_[index] & classes; }

  static constexpr std::uint32_t kLongestLabel = 64;

  // Host, port and path from `start` to the end. The host ends at the first of : / ? # because it cannot hold them.
  // Gives up at the first label that is too long: a chunk can hold an @ at every other place.
  bool is_host(std::uint32_t start) const {
    std::uint32_t end = start, labels = 0, label = start;
    bool address = true, host = true;
    std::uint32_t parts[4] = {start, 0, 0, 0};
    while (end < size_ && points_[end] != ':' && points_[end] != '/' && points_[end] != '?' && points_[end] != '#') {
      char32_t c = points_[end];
      if (c == '.') {
        if (!is_label(label, end)) host = false;
        if (++labels < 4) parts[labels] = end + 1;
        label = end + 1;
      } else if (!base::is_decimal_digit(c)) {
        address = false;
      }
      if (end + 1 - label > kLongestLabel) host = false;
      if (!host && !address) return false;
      ++end;
    }
    address = address && labels == 3 && is_address(parts, end);
    if (host) {  // top-level domain
      std::uint32_t length = end - label;
      host = labels > 0 && length >= 2 && length <= 63;
      for (std::uint32_t i = label; i < end && host; ++i) host = is(i, kLower);
    }
    if (!host && !address) return false;
    if (end < size_ && points_[end] == ':') {
      std::uint32_t port = end + 1;
      while (port < size_ && base::is_decimal_digit(points_[port])) ++port;
      if (port - end - 1 < 2 || port - end - 1 > 5) return false;
      end = port;
    }
    return end == size_ || points_[end] == '/' || points_[end] == '?' || points_[end] == '#';
  }

  bool is_label(std::uint32_t begin, std::uint32_t end) const {
    if (begin == end || end - begin > kLongestLabel) return false;
    for (std::uint32_t i = begin; i < end; ++i) {
      char32_t c = points_[i];
      bool plain = (c < 128 && is(i, kDigit | kAlpha)) || (c >= 0xA1 && c <= 0xFFFF);
      if (!plain && (i == begin || i + 1 == end || (c != '_' && c != '-'))) return false;
    }
    return true;
  }

  // A dotted address that is neither private nor a network's own; `parts` are the starts of its four numbers.
  bool is_address(const std::uint32_t* parts, std::uint32_t end) const {
    std::uint32_t length[4];
    for (int p = 0; p < 4; ++p) {
      length[p] = (p < 3 ? parts[p + 1] - 1 : end) - parts[p];
      if (length[p] < 1 || length[p] > 3) return false;
    }
    // The digits may be of any script where the pattern says \d; -1 stands for such a digit.
    auto digit = [&](int part, std::uint32_t at) {
      char32_t c = points_[parts[part] + at];
      return c >= '0' && c <= '9' ? static_cast<int>(c - '0') : -1;
    };
    auto equals = [&](int part, std::string_view number) {
      if (length[part] != number.size()) return false;
      for (std::uint32_t i = 0; i < length[part]; ++i) {
        if (digit(part, i) != number[i] - '0') return false;
      }
      return true;
    };
    if (equals(0, "10") || equals(0, "127") || (equals(0, "169") && equals(1, "254")) ||
        (equals(0, "192") && equals(1, "168"))) {
      return false;
    }
    if (equals(0, "172") && length[1] == 2) {
      int tens = digit(1, 0), ones = digit(1, 1);
      if ((tens == 1 && ones >= 6) || tens == 2 || (tens == 3 && (ones == 0 || ones == 1))) return false;
    }
    auto first_kind = [&](int part, int size_hundred_ten, int size_one) {  // [1-9]\d? | 1\d\d | 2[0-k]\d | 2(k+1)[0-m]
      int a = digit(part, 0);
      if (length[part] < 3) return a >= 1;
      int b = digit(part, 1), c = digit(part, 2);
      if (a == 1) return true;
      if (a != 2 || b < 0) return false;
      return b <= size_hundred_ten || (b == size_hundred_ten + 1 && c >= 0 && c <= size_one);
    };
    auto middle = [&](int part) {  // 1?\d{1,2} | 2[0-4]\d | 25[0-5]
      if (length[part] < 3 || digit(part, 0) == 1) return true;
      int b = digit(part, 1), c = digit(part, 2);
      return digit(part, 0) == 2 && ((b >= 0 && b <= 4) || (b == 5 && c >= 0 && c <= 5));
    };
    // First number: [1-9]\d? | 1\d\d | 2[01]\d | 22[0-3]; the last one goes up to 254.
    return first_kind(0, 1, 3) && middle(1) && middle(2) && first_kind(3, 4, 4);
  }

  const std::uint32_t* points_;
  const std::uint32_t* classes_;
  std::uint32_t size_;
};

}  // namespace

bool is_spacy_url(std::span<const std::uint32_t> points, std::span<const std::uint32_t> classes) {
  return Url(points, classes).is_url();
}

}  // namespace curate
