// A SentencePiece .model file as data (sentencepiece_model.proto), for what libsentencepiece's interface does not tell.
// Tested by tests/tokenizer/sentencepiece_test.cc and hostile_test.cc.
#include "tokenizer/read/sentencepiece_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/read/gguf_names.h"
#include "tokenizer/read/readers.h"

namespace tokenizer {
namespace {

constexpr float kScoreOfAdded = -1000;  // as llama.cpp writes it; nothing merges to them

// The wire format of protocol buffers: a key (field number and wire type), then a number, eight bytes, a length and so
// many bytes, or four bytes.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& where, std::size_t offset)
      : bytes_(bytes), where_(where), offset_(offset) {}

  // Moves to the next field; false at the end.
  bool next() {
    if (position_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field = static_cast<std::uint32_t>(key >> 3);
    number = 0;
    bytes = {};
    switch (key & 7) {
      case 0:
        number = varint();
        return true;
      case 1:
        bytes = take(8);
        return true;
      case 2:
        bytes = take(varint());
        return true;
      case 5:
        bytes = take(4);
        return true;
      default:
        fail("unknown wire type");
    }
  }
  float real() const {
    if (bytes.size() != 4) fail("not a 32-bit number");
    float value;
    std::memcpy(&value, bytes.data(), 4);
    return value;
  }
  Fields inside() const { return Fields(bytes, where_, offset_ + position_ - bytes.size()); }

  std::uint32_t field = 0;
  std::uint64_t number = 0;
  std::string_view bytes;

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw base::Error({"not a SentencePiece model", fmt::format("{}@{}", where_, offset_ + position_), what,
                       "a .model file written by sentencepiece", "get the file again from its source"});
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position_ == bytes_.size()) fail("the file is truncated");
      const auto byte = static_cast<unsigned char>(bytes_[position_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number that is too long");
  }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - position_) fail("the file is truncated");
    position_ += size;
    return bytes_.substr(position_ - size, size);
  }

  std::string_view bytes_;
  const std::string& where_;
  std::size_t offset_, position_ = 0;
};

SentencePieceModel::Piece piece_of(Fields fields) {
  SentencePieceModel::Piece piece;
  while (fields.next()) {
    if (fields.field == 1) piece.text = fields.bytes;
    if (fields.field == 2) piece.score = fields.real();
    if (fields.field == 3) piece.type = static_cast<std::int32_t>(fields.number);
  }
  return piece;
}

void read_trainer(Fields fields, SentencePieceModel& model) {
  while (fields.next()) {
    const auto number = static_cast<std::int32_t>(fields.number);
    if (fields.field == 3) model.model_type = number;
    if (fields.field == 35) model.byte_fallback = fields.number != 0;
    if (fields.field == 40) model.unknown = number;
    if (fields.field == 41) model.bos = number;
    if (fields.field == 42) model.eos = number;
    if (fields.field == 43) model.pad = number;
  }
}

void read_normalizer(Fields fields, SentencePieceModel& model) {
  while (fields.next()) {
    if (fields.field == 2) model.has_character_map = !fields.bytes.empty();
    if (fields.field == 3) model.add_dummy_prefix = fields.number != 0;
    if (fields.field == 4) model.remove_extra_whitespaces = fields.number != 0;
    if (fields.field == 5) model.escape_whitespaces = fields.number != 0;
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  Fields fields(bytes, where, 0);
  while (fields.next()) {
    if (fields.field == 1) model.pieces.push_back(piece_of(fields.inside()));
    if (fields.field == 2) read_trainer(fields.inside(), model);
    if (fields.field == 3) read_normalizer(fields.inside(), model);
  }
  if (model.pieces.empty())
    throw base::Error({"not a SentencePiece model", where, "it has no pieces", "a .model file written by sentencepiece",
                       "get the file again from its source"});
  model.own_pieces = model.pieces.size();
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& piece = model.pieces[i];
    if (piece.type != kControlToken && piece.type != kUnknownToken) continue;
    AddedToken token;
    token.id = static_cast<std::int32_t>(i);
    token.content = piece.text;
    token.special = token.in_model = true;
    model.added.push_back(token);
  }
  const auto role = [&](std::int32_t id) -> std::optional<std::int32_t> {
    if (id < 0 || id >= static_cast<std::int32_t>(model.own_pieces)) return std::nullopt;
    const std::int32_t type = model.pieces[id].type;
    return type == kControlToken || type == kUnknownToken ? std::optional(id) : std::nullopt;
  };
  // BOS in front is LlamaTokenizer's default; sentencepiece itself adds nothing.
  model.roles.bos = role(model.bos);
  model.roles.eos = role(model.eos);
  model.roles.pad = role(model.pad);
  model.roles.unknown = role(model.unknown);
  model.roles.add_bos = model.roles.bos.has_value();
  return model;
}

namespace {

void add_token(SentencePieceModel& model, AddedToken token) {
  if (static_cast<std::size_t>(token.id) >= model.pieces.size())
    model.pieces.resize(token.id + 1, {"", kScoreOfAdded, kUnusedToken});
  SentencePieceModel::Piece& piece = model.pieces[token.id];
  piece.text = token.content;
  if (piece.type == kNormalToken || piece.type == kUnusedToken)
    piece.type = token.special ? kControlToken : kUserDefinedToken;
  token.normalized = false;  // sentencepiece normalises only what is cut out between added tokens
  const auto known = std::ranges::find(model.added, token.id, &AddedToken::id);
  if (known != model.added.end())
    *known = token;
  else
    model.added.push_back(token);
}

void add_from_folder(SentencePieceModel& model, const std::filesystem::path& folder) {
  std::unordered_map<std::string, std::int32_t> ids;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) ids.emplace(model.pieces[i].text, static_cast<std::int32_t>(i));
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(std::string(token));
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  };
  const auto is_hole = [&](std::int32_t id) { return model.pieces[id].text.empty(); };
  for (const AddedToken& token : read_added_tokens(folder, model.pieces.size(), id_of, is_hole)) {
    ids.emplace(token.content, token.id);
    add_token(model, token);
  }
  read_folder_roles(folder, model.pieces.size(), id_of, model.roles);
}

}  // namespace

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file, bool in_folder,
                                            std::span<const AddedToken> more) {
  SentencePieceModel model = parse_sentencepiece_model(base::read_file(file), file.string());
  if (in_folder) add_from_folder(model, file.parent_path());
  for (const AddedToken& token : more) add_token(model, token);
  return model;
}

}  // namespace tokenizer
