// A base made to fit an adapter that was trained with new tokens. Tested by tests/lora/adapter/grown_test.cc.
#include "lora/adapter/grown.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "lora/adapter/merge.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// One behind the last row that the adapter has of `module`.
std::int64_t end_of_rows(const Adapter& adapter, const std::string& module) {
  std::int64_t end = 0;
  for (const TokenRows& rows : adapter.tokens)
    if (rows.module == module && !rows.ids.empty()) end = std::max(end, std::ranges::max(rows.ids) + 1);
  for (const SavedTensor& tensor : adapter.saved)
    if (tensor.name == module + ".weight" && tensor.shape.size() == 2) end = std::max(end, tensor.shape[0]);
  return end;
}

bool has_row(const Adapter& adapter, const std::string& module, std::int64_t id) {
  return std::ranges::any_of(adapter.tokens,
                             [&](const TokenRows& rows) {
                               return rows.module == module && std::ranges::find(rows.ids, id) != rows.ids.end();
                             }) ||
         std::ranges::any_of(adapter.saved, [&](const SavedTensor& tensor) {
           return tensor.name == module + ".weight" && id < tensor.shape.at(0);
         });
}

// A row that nobody brings would be zero.
void check_rows(const ModelFiles& base, const Adapter& adapter, const fs::path& folder, std::int64_t end) {
  const ModelSpec& spec = base.spec();
  std::vector<std::string> modules = {spec.embedding};
  if (!spec.config.tied_embeddings || parts_head(adapter, base)) modules.push_back(spec.head);
  for (const std::string& module : modules)
    for (std::int64_t id = spec.config.vocab_size; id < end; ++id)
      if (!has_row(adapter, module, id))
        throw base::Error(
            {"the adapter has rows for tokens that its base does not have, and not all of them", folder.string(),
             fmt::format("no row {} of {}", id, module),
             fmt::format("rows {} to {} of {}", spec.config.vocab_size, end - 1, base::join(modules, " and ")),
             "give the base that was resized as the adapter's was: --base MODEL, --model MODEL"});
}

}  // namespace

void grow_for(ModelFiles& base, const Adapter& adapter, const fs::path& folder) {
  const ModelSpec& spec = base.spec();
  const std::int64_t vocabulary{spec.config.vocab_size},
      end{std::max({vocabulary, end_of_rows(adapter, spec.embedding), end_of_rows(adapter, spec.head)})};
  check_rows(base, adapter, folder, end);
  std::vector<tokenizer::AddedToken> tokens;
  if (fs::is_directory(folder)) tokens = tokenizer::listed_tokens(folder);
  if (!tokens.empty() && (end > vocabulary || !adapter.tokens.empty() || !adapter.saved.empty())) {
    const auto own = tokenizer::load(base.path());
    std::erase_if(tokens, [&](const tokenizer::AddedToken& token) {
      return token.id < own->size() || token.id >= end || own->id_of(token.content);
    });
  } else {
    tokens.clear();
  }
  base.grow(std::move(tokens), end, ModelFiles::NewRows::kZero);
}

std::string new_tokens_text(const ModelFiles& base) {
  std::vector<std::string> texts;
  for (const tokenizer::AddedToken& token : base.new_tokens()) texts.push_back(base::shortened(token.content, 40));
  if (texts.empty()) return "";
  return fmt::format("{} new token{}: {}", texts.size(), texts.size() == 1 ? "" : "s", base::join(texts, ", "));
}

}  // namespace lora
