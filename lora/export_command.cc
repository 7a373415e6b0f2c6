#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "lora/commands.h"
#include "lora/gguf_adapter.h"
#include "lora/locate.h"
#include "lora/write_model.h"

namespace lora {

namespace fs = std::filesystem;

int run_export(ExportOptions& options, base::Context& context) {
  const std::string& input = only_input(options.input, "one run or adapter: lora export RUN --format gguf");
  const bool gguf = options.format == "gguf";
  if (gguf && options.bake_scale)
    throw base::UsageError({"only for PEFT", "bake_scale", "", "--format peft", "a GGUF adapter always has it"});
  const base::DType type = type_from_name(options.dtype);
  if (!gguf && type != base::DType::kF32)
    throw base::UsageError({"only for GGUF", "dtype", options.dtype, "float32", "PEFT adapters are float32"});
  const fs::path folder = adapter_folder(input);
  Adapter adapter = read_adapter(folder);
  fs::path output = options.output;
  if (output.empty()) output = folder.parent_path() / (folder.filename().string() + (gguf ? ".gguf" : "-peft"));
  std::string next;
  if (gguf) {
    const ModelFiles base(base_model_of(folder, options.base, adapter.base_model));
    base::check_outputs({output}, {folder, base.path()});
    prepare_file(output, options.overwrite);
    write_gguf_adapter(adapter, base, output, type);
    next = "llama-cli -m BASE.gguf --lora " + output.string() + "   (BASE.gguf: lora convert " + base.path().string() +
           " --output BASE.gguf)";
  } else {
    base::check_outputs({output}, {folder});
    prepare_folder(output, options.overwrite, context.run_yaml);
    if (options.bake_scale) adapter = bake_scale(std::move(adapter));
    write_adapter(adapter, output);
    next = "vllm serve BASE --enable-lora --max-lora-rank " + std::to_string(adapter.rank) +
           " --lora-modules mine=" + output.string();
  }
  if (context.json) {
    nlohmann::ordered_json result = {{"output", output.string()},
                                     {"adapter", folder.string()},
                                     {"format", options.format},
                                     {"modules", adapter.modules.size()},
                                     {"rank", adapter.rank}};
    context.out << result.dump() << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "exported {} modules to {}\nnext: {}\n", adapter.modules.size(), output.string(), next);
  return 0;
}

}  // namespace lora
