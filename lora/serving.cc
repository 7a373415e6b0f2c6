// Lines to type for runtimes. Tested by tests/cli/lora/export_for and tests/cli/lora/export.
#include "lora/serving.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/text.h"
#include "lora/adapter/chat_format.h"
#include "lora/model/mlx_limits.h"
#include "lora/model/module_names.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {
namespace {

namespace fs = std::filesystem;

// vLLM takes one of these as --max-lora-rank.
std::int64_t vllm_rank(std::int64_t rank) {
  for (const std::int64_t most : {8, 16, 32, 64, 128, 256, 320, 512})
    if (rank <= most) return most;
  throw base::Error({"vLLM serves no adapter of this rank", "", std::to_string(rank), "at most 512",
                     "merge it into the model: lora merge"});
}

}  // namespace

std::string beyond_runtime(const Adapter& adapter, bool reads_dora) {
  std::vector<std::string> parts = beyond_lora(adapter);
  if (reads_dora) std::erase(parts, "DoRA");
  for (const AdapterModule& module : adapter.modules) {
    const BlockName name = block_name(module.name);
    if (name.expert >= 0 || adapter.stacked_experts) return "LoRA on experts";
    if (name.block < 0 || !module.name.starts_with("model.layers.")) parts.push_back("LoRA on " + module.name);
  }
  return base::join(parts, ", ");
}

std::string vllm_line(const std::string& base, std::int64_t rank, const fs::path& output, const fs::path& adapter,
                      bool settings) {
  std::string line = fmt::format("vllm serve {} --enable-lora --max-lora-rank {} --lora-modules mine={}",
                                 base::shell_word(base), vllm_rank(rank), base::shell_word(output.string()));
  if (fs::exists(adapter / tokenizer::kChatTemplateFile))
    line += " --chat-template " + base::shell_word((output / tokenizer::kChatTemplateFile).string());
  if (settings && fs::exists(adapter / "generation_config.json"))
    line += " --generation-config " + base::shell_word(output.string());
  return line;
}

std::string transformers_line(const std::string& folder) {
  const std::string path = base::json_dump(nlohmann::json(folder));
  return "python -c " + base::shell_word("from transformers import pipeline; print(pipeline(\"text-generation\", " +
                                         path + ")(\"The\"))");
}

std::string not_served_by_mlx(const ModelFiles& base, const fs::path& folder) {
  if (const std::string why = not_as_mlx_base(base); !why.empty()) return why;
  if (!fs::exists(folder / tokenizer::kChatTemplateFile) || !changed_tokenizer_of(base, folder, "")) return "";
  return "mlx-lm takes the base's chat template, and the adapter was trained with another";
}

}  // namespace lora
