// Which reader and which model a path asks for.
#include "base/error.h"
#include "base/file.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/models/sentencepiece_tokenizer.h"
#include "tokenizer/read/readers.h"

namespace tokenizer {
namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> load(const fs::path& path) {
  if (fs::is_directory(path)) {
    if (fs::exists(path / "tokenizer.json")) return std::make_unique<BpeTokenizer>(spec_from_folder(path));
    if (fs::exists(path / "tokenizer.model"))
      return std::make_unique<SentencePieceTokenizer>(path / "tokenizer.model", true);
    throw base::Error({"no tokenizer in the folder", path.string(), "", "tokenizer.json or tokenizer.model",
                       "download the tokenizer's files into it as well"});
  }
  if (!fs::exists(path))
    throw base::Error({"no tokenizer there", path.string(), "",
                       "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file", "check the path"});
  const std::string suffix = path.extension().string();
  if (suffix == ".gguf") return std::make_unique<BpeTokenizer>(spec_from_gguf(base::GgufReader(path)));
  if (suffix == ".model") return std::make_unique<SentencePieceTokenizer>(path, false);
  if (suffix == ".json")
    return std::make_unique<BpeTokenizer>(spec_from_tokenizer_json(base::read_file(path), path.string()));
  throw base::Error({"cannot tell what kind of tokenizer this is", path.string(), suffix,
                     "a Hugging Face folder, a tokenizer.json, a .model or a .gguf file", ""});
}

}  // namespace tokenizer
