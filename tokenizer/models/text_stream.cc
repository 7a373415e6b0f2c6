// The text of tokens that come one after the other. Tested by tests/tokenizer/text_stream_test.cc.
#include "tokenizer/models/text_stream.h"

#include <algorithm>

#include "base/unicode.h"

namespace tokenizer {
namespace {

// Bytes at the end of `text` that begin a character and lack the rest of it.
std::size_t unfinished(const std::string& text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;  // inside a character: its first byte is further ahead
    const std::size_t length = byte < 0xC2 || byte > 0xF4 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    return length > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::string whole_characters(std::string text) {
  text.resize(text.size() - unfinished(text));
  return base::valid_utf8(text);
}

// A token's text depends on whether the text begins with it and on the few tokens before it (a blank behind a special
// token may be taken off), so that it is what comes on top of those.
std::string TextStream::text_of(std::int32_t id) {
  constexpr std::size_t kMostBefore = 8;
  std::vector<std::int32_t> ids = first_;
  ids.insert(ids.end(), latest_.begin(), latest_.end());
  const std::size_t before = tokenizer_.decode(ids, skip_special_).size();
  ids.push_back(id);
  std::string text = tokenizer_.decode(ids, skip_special_);
  text.erase(0, std::min(before, text.size()));
  std::vector<std::int32_t>& last = has_text_ ? latest_ : first_;
  last.push_back(id);
  if (last.size() > kMostBefore) last.erase(last.begin());
  has_text_ |= !text.empty();
  return text;
}

std::string TextStream::add(std::int32_t id) {
  if (!forward_) {
    all_.push_back(id);
    return "";
  }
  std::string text = std::move(held_) + text_of(id);
  held_.assign(text, text.size() - unfinished(text));
  text.resize(text.size() - held_.size());
  return text;
}

std::string TextStream::finish() { return forward_ ? std::move(held_) : tokenizer_.decode(all_, skip_special_); }

}  // namespace tokenizer
