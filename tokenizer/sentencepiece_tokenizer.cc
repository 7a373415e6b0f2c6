#include "tokenizer/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <charconv>

#include "base/error.h"
#include "base/file.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/gguf_names.h"

namespace tokenizer {
namespace {

std::vector<AddedToken> special_tokens(const SentencePieceModel& model) {
  std::vector<AddedToken> tokens;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const auto& piece = model.pieces[i];
    if (piece.type != kControlToken && piece.type != kUnknownToken) continue;
    AddedToken token;
    token.id = static_cast<std::int32_t>(i);
    token.content = piece.text;
    token.special = true;
    tokens.push_back(token);
  }
  return tokens;
}

std::vector<std::string> contents(const std::vector<AddedToken>& tokens) {
  std::vector<std::string> texts;
  for (const AddedToken& token : tokens) texts.push_back(token.content);
  return texts;
}

}  // namespace

class SentencePieceTokenizer::SpecialFinder : public AddedTokenFinder {
 public:
  explicit SpecialFinder(const std::vector<AddedToken>& tokens) : AddedTokenFinder(tokens, contents(tokens)) {}
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& path) {
  const std::string bytes = base::read_file(path);
  // Checked by our own reader first: the library ends the process on some broken files.
  model_ = parse_sentencepiece_model(bytes, path.string());
  processor_ = std::make_unique<sentencepiece::SentencePieceProcessor>();
  const auto status = processor_->LoadFromSerializedProto(bytes);
  if (!status.ok() || processor_->GetPieceSize() != size())
    throw base::Error({"cannot load the SentencePiece model", path.string(), status.ToString(), "",
                       "get the file again from its source"});
  ids_.reserve(model_.pieces.size());
  for (std::size_t i = 0; i < model_.pieces.size(); ++i)
    ids_.emplace(model_.pieces[i].text, static_cast<std::int32_t>(i));
  specials_ = std::make_unique<SpecialFinder>(special_tokens(model_));
  const auto role = [&](std::int32_t id) { return id >= 0 && id < size() ? std::optional(id) : std::nullopt; };
  unknown = role(processor_->unk_id());
  bos = role(processor_->bos_id());
  eos = role(processor_->eos_id());
  pad = role(processor_->pad_id());
  add_bos = bos.has_value();  // LlamaTokenizer's default; sentencepiece itself adds nothing
  kind = "sentencepiece";
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<std::int32_t> SentencePieceTokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<std::int32_t> ids;
  if (!parse_special) {
    encode_part(text, ids);
    return ids;
  }
  specials_->find(
      text, true, [&](std::size_t begin, std::size_t end) { encode_part(text.substr(begin, end - begin), ids); },
      [&](const AddedToken& token) { ids.push_back(token.id); });
  return ids;
}

void SentencePieceTokenizer::encode_part(std::string_view text, std::vector<std::int32_t>& ids) const {
  std::vector<int> part;
  const auto status = processor_->Encode(absl::string_view(text.data(), text.size()), &part);
  if (!status.ok()) throw base::Error({"sentencepiece cannot encode the text", "", status.ToString(), "", ""});
  ids.insert(ids.end(), part.begin(), part.end());
}

std::string SentencePieceTokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::string text;
  bool begins = model_.add_dummy_prefix;  // only tokens without text so far
  for (const std::int32_t id : ids) {
    const SentencePieceModel::Piece& token = piece(id);
    if (token.type == kControlToken) {
      if (!skip_special) text += token.text;
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
  if (id >= 0 && id < size()) return model_.pieces[id];
  throw base::Error({"token id out of range", "", std::to_string(id), fmt::format("0 to {}", size() - 1),
                     "use the tokenizer that made these ids"});
}

}  // namespace tokenizer
