#include "tokenizer/split/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/edits.h>
#include <unicode/normalizer2.h>

#include "base/error.h"
#include "base/unicode.h"

namespace tokenizer {
namespace {

using Origins = std::vector<ByteRange>;

ByteRange joined(const Origins& origins, std::size_t begin, std::size_t end) {
  return {origins[begin].begin, origins[end - 1].end};
}

void nfc(std::string& text, Origins* origins) {
  // Text that is not UTF-8 has no normal form.
  if (base::find_invalid_utf8(text) != std::string_view::npos) return;
  if (!origins) {
    text = base::to_nfc(text);
    return;
  }
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = icu::Normalizer2::getNFCInstance(status);
  icu::Edits edits;
  std::string composed;
  icu::StringByteSink<std::string> sink(&composed);
  if (U_SUCCESS(status))
    form->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, &edits, status);
  if (U_FAILURE(status)) throw base::Error({"cannot normalise the text", "", u_errorName(status), "", ""});
  Origins moved;
  moved.reserve(composed.size());
  auto changes = edits.getFineIterator();
  std::size_t old = 0;
  while (changes.next(status)) {
    const auto before = static_cast<std::size_t>(changes.oldLength());
    if (!changes.hasChange())
      moved.insert(moved.end(), origins->begin() + static_cast<std::ptrdiff_t>(old),
                   origins->begin() + static_cast<std::ptrdiff_t>(old + before));
    else if (before > 0)
      moved.insert(moved.end(), static_cast<std::size_t>(changes.newLength()), joined(*origins, old, old + before));
    old += before;
  }
  text = std::move(composed);
  *origins = std::move(moved);
}

void replace(const NormalizerStep& step, std::string& text, Origins* origins) {
  std::string replaced;
  Origins moved;
  replaced.reserve(text.size() + text.size() / 2);
  const auto keep = [&](std::size_t begin, std::size_t end) {
    replaced.append(text, begin, end - begin);
    if (origins)
      moved.insert(moved.end(), origins->begin() + static_cast<std::ptrdiff_t>(begin),
                   origins->begin() + static_cast<std::ptrdiff_t>(end));
  };
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(step.from, done)) != std::string::npos; done = at + step.from.size()) {
    keep(done, at);
    replaced.append(step.text);
    if (origins) moved.insert(moved.end(), step.text.size(), joined(*origins, at, at + step.from.size()));
  }
  keep(done, text.size());
  text = std::move(replaced);
  if (origins) *origins = std::move(moved);
}

}  // namespace

std::string normalized(const std::vector<NormalizerStep>& steps, std::string text, Origins* origins) {
  for (const NormalizerStep& step : steps) {
    if (text.empty()) break;
    switch (step.kind) {
      case NormalizerStep::kNfc:
        nfc(text, origins);
        break;
      case NormalizerStep::kPrepend:
        if (origins) {
          const std::size_t begin = origins->front().begin;
          origins->insert(origins->begin(), step.text.size(), ByteRange{begin, begin});
        }
        text.insert(0, step.text);
        break;
      case NormalizerStep::kReplace:
        replace(step, text, origins);
        break;
    }
  }
  return text;
}

}  // namespace tokenizer
