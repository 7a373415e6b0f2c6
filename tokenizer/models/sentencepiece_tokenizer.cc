// SentencePiece .model files: plain BPE models are encoded by our own BPE, all others by libsentencepiece. Tested by
// tests/tokenizer/sentencepiece_test.cc, parity_test.cc and encoding_test.cc.
#include "tokenizer/models/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/unicode.h"
#include "tokenizer/models/added_tokens.h"
#include "tokenizer/read/gguf_names.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

void load(sentencepiece::SentencePieceProcessor& processor, const std::string& bytes, const std::string& where) {
  const auto status = processor.LoadFromSerializedProto(bytes);
  if (!status.ok())
    throw base::Error(
        {"cannot load the SentencePiece model", where, status.ToString(), "", "get the file again from its source"});
}

void check(const sentencepiece::util::Status& status) {
  if (!status.ok()) throw base::Error({"sentencepiece cannot encode the text", "", status.ToString(), "", ""});
}

absl::string_view view(std::string_view text) { return {text.data(), text.size()}; }

// sentencepiece gives all bytes of a character to the last of its "<0x..>" pieces; ours have one each.
void spread_bytes(std::vector<ByteRange>& offsets, std::size_t last) {
  const ByteRange character = offsets[last];
  const std::size_t size = character.end - character.begin;
  std::size_t first = last;
  while (first > 0 && last - first + 1 < size && offsets[first - 1] == ByteRange{character.begin, character.begin})
    --first;
  if (last - first + 1 != size) return;  // bytes of a normalised character
  for (std::size_t i = first; i <= last; ++i)
    offsets[i] = {character.begin + i - first, character.begin + i - first + 1};
}

// A model whose ids our own BPE gives: merges by score, blanks as "▁" and no other change of the text.
bool is_plain_bpe(const SentencePieceModel& model) {
  if (model.model_type != SentencePieceModel::kBpe || model.has_character_map || model.remove_extra_whitespaces ||
      !model.escape_whitespaces)
    return false;
  const auto own = std::span(model.pieces).first(model.own_pieces);
  return std::ranges::none_of(own, [](const SentencePieceModel::Piece& piece) {
    const bool has_blank =
        piece.text.find(' ') != std::string::npos || piece.text.find(kMetaspace) != std::string::npos;
    return (piece.type == kUserDefinedToken && has_blank) || piece.type == kUnusedToken || std::isnan(piece.score);
  });
}

// The dummy prefix is not a part of it: a text that has one gets a blank in front.
BpeSpec spec_of(const SentencePieceModel& model) {
  BpeSpec spec;
  std::vector<std::int64_t> types;
  for (std::size_t i = 0; i < model.own_pieces; ++i) {
    const SentencePieceModel::Piece& piece = model.pieces[i];
    const bool in_model = piece.type == kNormalToken || piece.type == kByteToken;
    const bool always_found = piece.type == kUserDefinedToken;
    spec.tokens.push_back(in_model || always_found ? piece.text : "");
    if (always_found) {
      AddedToken token;
      token.id = static_cast<std::int32_t>(i);
      token.content = piece.text;
      spec.added.push_back(token);
    }
    spec.scores.push_back(piece.score);
    types.push_back(piece.type);
  }
  spec.byte_level = false;
  spec.byte_fallback = model.byte_fallback;
  spec.fuse_unknown = true;
  spec.unknown = model.unknown;
  spec.normalizer.push_back({NormalizerStep::kReplace, " ", std::string(kMetaspace)});
  spec.merges = merges_of_scores(spec.tokens, types, spec.scores);
  return spec;
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& path, bool in_folder,
                                               std::span<const AddedToken> more)
    // Checked by our own reader first: the library ends the process on some broken files.
    : model_(read_sentencepiece_model(path, in_folder, more)),
      processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  const std::string bytes = base::read_file(path);
  load(*processor_, bytes, path.string());
  if (processor_->GetPieceSize() != static_cast<int>(model_.own_pieces))
    throw base::Error({"cannot load the SentencePiece model", path.string(), "its number of pieces is unclear", "",
                       "get the file again from its source"});
  // A message that stands twice is merged: normalizer_spec (3) with add_dummy_prefix (3) false.
  if (model_.add_dummy_prefix && !model_.roles.prefix_after_special)
    without_prefix_ = bytes + std::string("\x1A\x02\x18\x00", 4);
  ids_.reserve(model_.pieces.size());
  for (std::size_t i = 0; i < model_.pieces.size(); ++i)
    if (!model_.pieces[i].text.empty()) ids_.emplace(model_.pieces[i].text, static_cast<std::int32_t>(i));
  std::vector<std::string> contents;
  for (const AddedToken& token : model_.added) contents.push_back(token.content);
  added_ = std::make_unique<AddedTokenFinder>(model_.added, contents);
  if (is_plain_bpe(model_)) own_ = std::make_unique<BpeTokenizer>(spec_of(model_));
  take(model_.roles);
  kind = "sentencepiece";
  origin = model_.model_type == SentencePieceModel::kBpe ? "SentencePiece BPE" : "SentencePiece unigram";
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

const sentencepiece::SentencePieceProcessor& SentencePieceTokenizer::processor_for(bool first) const {
  if (first || without_prefix_.empty()) return *processor_;
  std::call_once(unprefixed_once_, [&] {
    unprefixed_ = std::make_unique<sentencepiece::SentencePieceProcessor>();
    load(*unprefixed_, without_prefix_, "");
  });
  return *unprefixed_;
}

// `part(text, begin)` encodes a text between added tokens; begin == 0 has a dummy prefix.
template <class Part>
std::size_t SentencePieceTokenizer::encode_parts(std::string_view text, DataRanges data, std::vector<std::int32_t>& ids,
                                                 std::vector<ByteRange>* offsets, Part part) const {
  return added_->find(
      text, data, [&](std::size_t begin, std::size_t end) { part(text.substr(begin, end - begin), begin); },
      [&](const AddedToken& token, std::size_t begin, std::size_t end) {
        ids.push_back(token.id);
        if (offsets) offsets->push_back({begin, end});
      });
}

bool SentencePieceTokenizer::is_ours(std::string_view text) const {
  return own_ && base::find_invalid_utf8(text) == std::string_view::npos;
}

bool SentencePieceTokenizer::has_prefix(std::size_t begin) const {
  return model_.add_dummy_prefix && (begin == 0 || model_.roles.prefix_after_special);
}

std::vector<std::int32_t> SentencePieceTokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<std::int32_t> ids;
  const ByteRange all{0, text.size()};
  const DataRanges data = parse_special ? DataRanges() : DataRanges(&all, 1);
  if (is_ours(text)) {
    std::string prefixed;
    encode_parts(text, data, ids, nullptr, [&](std::string_view part, std::size_t begin) {
      if (!has_prefix(begin)) return own_->append(part, ids);
      prefixed.assign(1, ' ').append(part);
      own_->append(prefixed, ids);
    });
    return ids;
  }
  std::vector<int> part_ids;
  encode_parts(text, data, ids, nullptr, [&](std::string_view part, std::size_t begin) {
    check(processor_for(begin == 0).Encode(view(part), &part_ids));
    ids.insert(ids.end(), part_ids.begin(), part_ids.end());
  });
  return ids;
}

// The ids of one part by our own encoder. The dummy prefix stands for no byte.
void SentencePieceTokenizer::append_ours(std::string_view part, std::size_t begin, Encoding& encoding) const {
  const std::size_t prefix = has_prefix(begin) ? 1 : 0;
  const Encoding inner = own_->encode_with_offsets(std::string(prefix, ' ').append(part), {});
  encoding.ids.insert(encoding.ids.end(), inner.ids.begin(), inner.ids.end());
  for (const ByteRange& range : inner.offsets)
    encoding.offsets.push_back({begin + range.begin - std::min(range.begin, prefix), begin + range.end - prefix});
}

void SentencePieceTokenizer::append_theirs(std::string_view part, std::size_t begin, Encoding& encoding) const {
  sentencepiece::ImmutableSentencePieceText pieces;
  check(processor_for(begin == 0).Encode(view(part), pieces.mutable_proto()));
  for (const auto& piece : pieces.pieces()) {
    const auto id = static_cast<std::int32_t>(piece.id());
    encoding.ids.push_back(id);
    encoding.offsets.push_back({begin + piece.begin(), begin + piece.end()});
    if (model_.pieces[id].type == kByteToken && piece.begin() < piece.end())
      spread_bytes(encoding.offsets, encoding.offsets.size() - 1);
  }
}

Encoding SentencePieceTokenizer::encode_with_offsets(std::string_view text, DataRanges data) const {
  Encoding encoding;
  const bool ours = is_ours(text);
  encoding.specials_as_text =
      encode_parts(text, data, encoding.ids, &encoding.offsets, [&](std::string_view part, std::size_t begin) {
        ours ? append_ours(part, begin, encoding) : append_theirs(part, begin, encoding);
      });
  return encoding;
}

std::string SentencePieceTokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::string text;
  bool begins = model_.add_dummy_prefix;  // the next text has a dummy prefix
  for (const std::int32_t id : ids) {
    const SentencePieceModel::Piece& token = piece(id);
    if (token.type == kControlToken) {
      if (!skip_special) text += token.text;
      if (id != bos) begins = model_.add_dummy_prefix && model_.roles.prefix_after_special;
      continue;
    }
    if (token.type == kUnknownToken) {
      if (!skip_special) text += " \xE2\x81\x87 ";
      begins = false;
      continue;
    }
    if (unsigned byte = 0; token.type == kByteToken && token.text.size() == 6 &&
                           std::from_chars(token.text.data() + 3, token.text.data() + 5, byte, 16).ec == std::errc()) {
      text += static_cast<char>(byte);
      begins = false;
      continue;
    }
    std::string_view rest = token.text;
    if (begins && rest.starts_with(kMetaspace)) rest.remove_prefix(kMetaspace.size());
    begins = false;
    while (!rest.empty()) {
      const std::size_t at = std::min(rest.find(kMetaspace), rest.size());
      text += rest.substr(0, at);
      if (at == rest.size()) break;
      text += ' ';
      rest.remove_prefix(at + kMetaspace.size());
    }
  }
  return text;
}

std::optional<std::int32_t> SentencePieceTokenizer::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

std::string SentencePieceTokenizer::token(std::int32_t id) const { return piece(id).text; }

bool SentencePieceTokenizer::is_special(std::int32_t id) const {
  const std::int32_t type = piece(id).type;
  return type == kControlToken || type == kUnknownToken;
}

const SentencePieceModel::Piece& SentencePieceTokenizer::piece(std::int32_t id) const {
  check_id(id);
  return model_.pieces[id];
}

}  // namespace tokenizer
