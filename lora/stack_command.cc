// `lora stack`: depth up-scaling. Tested by tests/cli/lora/stack.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/outputs.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/write_model.h"
#include "lora/commands.h"
#include "lora/compose/stack.h"
#include "lora/locate.h"

namespace lora {

namespace fs = std::filesystem;

int run_stack(StackOptions& options, base::Context& context) {
  const ModelFiles base(only_input(options.input, "one model: lora stack MODEL --layers 0-23 --layers 8-31"));
  tell_notes(base, context);
  if (options.layers.empty())
    throw base::UsageError(
        {"no layers", "--layers", "", "ranges of the base's layers",
         fmt::format("the base has {}: --layers 0-{}", base.config().layers, base.config().layers - 1)});
  std::vector<LayerRange> ranges;
  for (const std::string& text : options.layers) ranges.push_back(layer_range(text, base.config().layers));
  const fs::path output = without_separator(options.output);
  base::check_output_is_folder("--output", output);
  check_folder(output, options.overwrite);
  base::check_outputs({output}, {base.path()});
  const bool keep_types = options.dtype == "auto";
  const base::DType type = keep_types ? natural_type(base) : type_from_name(options.dtype);
  const MadeModel model = stacked(base, ranges, type, keep_types);
  const std::uint64_t bytes = bytes_of(model);
  base::check_free_space(output, bytes, options.overwrite);
  const std::string config = config_text(model, base, type);

  OutputFolder folder(output, options.overwrite, context.run_yaml);
  base::Progress progress(context.err, context.quiet, "lora: stacking");
  write_made_model(model, base, config, output, options.threads,
                   [&](double share) { progress.update(share, base::human_bytes(static_cast<double>(bytes))); });
  folder.finish();
  progress.finish();
  const std::int64_t parameters{parameters_of(spec_of(model.config))};
  if (context.json) {
    nlohmann::ordered_json result = {{"output", output.string()},
                                     {"input", base.path().string()},
                                     {"layers", model.config.layers},
                                     {"base_layers", base.config().layers},
                                     {"dtype", base::name_of(type)},
                                     {"parameters", parameters},
                                     {"bytes", bytes}};
    context.out << result.dump() << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err,
               "stacked {} layers ({}) out of the {} of {} into {} as {}: {} parameters, {}\n"
               "next: train it on, since layers that follow others than before compute something else:\n"
               "  finetune train --model {} --data DATA.jsonl --output out/run\n",
               model.config.layers, base::join(options.layers, ", "), base.config().layers, base.path().string(),
               output.string(), base::name_of(type), base::human_count(static_cast<std::uint64_t>(parameters)),
               base::human_bytes(static_cast<double>(bytes)), base::shell_word(output.string()));
  return 0;
}

}  // namespace lora
