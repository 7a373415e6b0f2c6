// Scripts that are written without spaces between words: Han, kana, Thai, Lao, Khmer, Burmese. Tested by
// tests/curate/text/unspaced_test.cc.
#include "curate/text/unspaced.h"

#include <unicode/brkiter.h>
#include <unicode/uchar.h>
#include <unicode/uscript.h>
#include <unicode/utext.h>

#include <algorithm>
#include <bitset>

#include "base/error.h"
#include "base/unicode.h"
#include "curate/text/english.h"
#include "curate/text/lines.h"

namespace curate {
namespace {

constexpr char32_t kFirst = 0xE01, kPlane = 0x10000;  // Thai's first letter; the basic plane

bool ask_icu(char32_t c) {
  const auto code = static_cast<UChar32>(c);
  if ((U_MASK(u_charType(code)) & (U_GC_L_MASK | U_GC_M_MASK | U_GC_N_MASK)) == 0) return false;
  for (UScriptCode script :
       {USCRIPT_HAN, USCRIPT_HIRAGANA, USCRIPT_KATAKANA, USCRIPT_THAI, USCRIPT_LAO, USCRIPT_KHMER, USCRIPT_MYANMAR})
    if (uscript_hasScript(code, script)) return true;
  return false;
}

}  // namespace

bool is_unspaced(char32_t c) {
  static const std::unique_ptr<const std::bitset<kPlane>> kTable = [] {
    auto table = std::make_unique<std::bitset<kPlane>>();
    for (char32_t point = kFirst; point < kPlane; ++point) (*table)[point] = ask_icu(point);
    return table;
  }();
  if (c < kFirst) return false;
  return c < kPlane ? (*kTable)[c] : ask_icu(c);
}

bool has_unspaced(std::string_view text) {
  for (std::size_t position = 0; position < text.size();) {
    if (static_cast<unsigned char>(text[position]) < 0xE0) {  // below U+0800
      ++position;
    } else if (is_unspaced(base::next_code_point(text, position))) {
      return true;
    }
  }
  return false;
}

class DictionaryWords::Dictionary {
 public:
  Dictionary() {
    UErrorCode status = U_ZERO_ERROR;
    iterator_.reset(icu::BreakIterator::createWordInstance(icu::Locale::getRoot(), status));
    if (U_FAILURE(status)) throw base::Error(std::string("ICU finds no words: ") + u_errorName(status));
  }
  // Calls end(offset) for every boundary behind the beginning of `text`.
  template <class F>
  void cut(std::string_view text, F&& end) {
    UErrorCode status = U_ZERO_ERROR;
    UText bytes = UTEXT_INITIALIZER;
    utext_openUTF8(&bytes, text.data(), static_cast<int64_t>(text.size()), &status);
    iterator_->setText(&bytes, status);
    if (U_FAILURE(status)) throw base::Error(std::string("ICU cannot read a text: ") + u_errorName(status));
    iterator_->first();
    for (int32_t at = iterator_->next(); at != icu::BreakIterator::DONE; at = iterator_->next())
      end(static_cast<std::size_t>(at));
    utext_close(&bytes);
  }

 private:
  std::unique_ptr<icu::BreakIterator> iterator_;
};

DictionaryWords::DictionaryWords() = default;
DictionaryWords::~DictionaryWords() = default;

void DictionaryWords::split(std::string_view text) {
  spacy_.split(text);
  base_ = spacy_.base();
  words_.clear();
  if (is_ascii(base_) || !has_unspaced(base_)) {
    words_ = spacy_.all();
    return;
  }
  if (!dictionary_) dictionary_ = std::make_unique<Dictionary>();
  for (const Word& word : spacy_.all()) {
    if (has_unspaced(Words::text(word))) {
      cut(word);
    } else {
      words_.push_back(word);
    }
  }
}

void DictionaryWords::cut(const Word& word) {
  // ICU keeps several numbers for each letter of a piece.
  constexpr std::size_t kMostBytes = 64 << 10;
  const std::string_view whole = Words::text(word);
  for (std::size_t piece = 0; piece < whole.size();) {
    std::size_t size = std::min(kMostBytes, whole.size() - piece);
    while (piece + size < whole.size() && (whole[piece + size] & 0xC0) == 0x80) --size;
    std::size_t begin = 0;
    dictionary_->cut(whole.substr(piece, size), [&](std::size_t end) {
      Word part = English::get().measured(whole.substr(piece + begin, end - begin));
      part.offset = word.offset + static_cast<std::uint32_t>(piece + begin);
      if (piece + begin == 0) {
        part.flags |= word.flags & (Word::kAfterSpace | Word::kAfterSpaceToken);
      } else if (part.flags & Word::kHasNonSymbol) {
        part.flags |= Word::kAfterSpace;
      }
      words_.push_back(part);
      begin = end;
    });
    piece += size;
  }
}

}  // namespace curate
