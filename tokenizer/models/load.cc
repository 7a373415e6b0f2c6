// Which reader and which model a path asks for. Tested by tests/tokenizer/hostile_test.cc and vocabularies_test.cc.
#include "base/error.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/models/sentencepiece_tokenizer.h"
#include "tokenizer/read/readers.h"

namespace tokenizer {
namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> load(const fs::path& path) { return load(path, {}); }

std::unique_ptr<Tokenizer> load(const fs::path& path, std::span<const AddedToken> more) {
  const bool in_folder = fs::is_directory(path);
  const fs::path file = in_folder ? vocabulary_file(path) : path;
  if (kind_of_vocabulary(file) == VocabularyKind::kSentencePiece)
    return std::make_unique<SentencePieceTokenizer>(file, in_folder, more);
  BpeSpec spec = in_folder ? spec_from_folder(path) : spec_from_file(file);
  for (const AddedToken& token : more) {
    spec.tokens.set(static_cast<std::size_t>(token.id), token.content);
    spec.added.push_back(token);
  }
  try {
    return std::make_unique<BpeTokenizer>(std::move(spec));
  } catch (const base::Error& error) {  // of a pattern or a map, which do not know where they stand
    base::ErrorFacts facts = error.facts();
    facts.where = file.string() + (facts.where.empty() ? "" : ": " + facts.where);
    throw base::Error(facts);
  }
}

}  // namespace tokenizer
