// `lora stack`: depth up-scaling. Tested by tests/cli/lora/stack.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "lora/commands.h"
#include "lora/compose/made_card.h"
#include "lora/compose/stack.h"
#include "lora/locate.h"

namespace lora {

int run_stack(StackOptions& options, base::Context& context) {
  const ModelFiles base(only_input(options.input, "one model: lora stack MODEL --layers 0-23 8-31"));
  tell_notes(base, context);
  if (options.layers.empty())
    throw base::UsageError(
        {"no layers", "--layers", "", "ranges of the base's layers",
         fmt::format("the base has {}: --layers 0-{}", base.config().layers, base.config().layers - 1)});
  std::vector<LayerRange> ranges;
  for (const std::string& text : options.layers) ranges.push_back(layer_range(text, base.config().layers));
  const auto make = [&](base::DType type, bool keep_types) { return stacked(base, ranges, type, keep_types); };
  const std::string card = made_card(
      "Stacked model",
      fmt::format("Layers {} of a model, counted from 0, on top of each other.", base::join(options.layers, ", ")),
      {&base});
  const MadeOutput made = write_made(base, options.made, "lora: stacking", make, card, context);
  const nlohmann::ordered_json facts = {
      {"input", base.path().string()}, {"layers", made.layers}, {"base_layers", base.config().layers}};
  tell_made(made,
            {facts,
             fmt::format("stacked {} layers ({}) out of the {} of {}", made.layers, base::join(options.layers, ", "),
                         base.config().layers, base.path().string()),
             fmt::format("next: train it on, since layers that follow others than before compute something else:\n"
                         "  finetune train --model {} --data DATA.jsonl --output out/run\n",
                         base::shell_word(made.output))},
            context);
  return 0;
}

}  // namespace lora
