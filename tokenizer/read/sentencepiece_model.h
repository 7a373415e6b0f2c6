// A SentencePiece .model file as data (sentencepiece_model.proto), for what libsentencepiece's interface does not tell.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/spec/bpe_spec.h"

namespace tokenizer {

struct SentencePieceModel {
  struct Piece {
    std::string text;
    float score = 0;
    std::int32_t type = 1;  ///< TokenType: the numbers of the proto and of GGUF are the same
  };
  enum ModelType { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  std::vector<Piece> pieces;      ///< and, from a folder, the tokens beside the file: control or user-defined pieces
  std::size_t own_pieces = 0;     ///< those of the file itself
  std::vector<AddedToken> added;  ///< what is looked for before sentencepiece gets the text
  std::int32_t model_type = kUnigram;
  std::int32_t unknown = 0, bos = 1, eos = 2, pad = -1;
  bool byte_fallback = false;
  bool has_character_map = false;  ///< the normaliser changes characters (nfkc and its kin)
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
  SpecialRoles roles;
};

/// Throws Error ("where@offset") when `bytes` are not such a file.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where);

/// The file, with `in_folder` what stands beside it, and `more` tokens.
SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file, bool in_folder,
                                            std::span<const AddedToken> more = {});

}  // namespace tokenizer
