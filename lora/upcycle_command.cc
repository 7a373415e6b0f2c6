// `lora upcycle`: a model of experts out of a dense one. Tested by tests/cli/lora/upcycle.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "lora/commands.h"
#include "lora/compose/made_card.h"
#include "lora/compose/upcycle.h"
#include "lora/locate.h"

namespace lora {

int run_upcycle(UpcycleOptions& options, base::Context& context) {
  const ModelFiles base(only_input(options.input, "one model: lora upcycle MODEL --experts 8 --chosen 2"));
  tell_notes(base, context);
  const UpcycleSettings settings{options.experts, options.chosen, options.noise, options.router == "random",
                                 options.seed};
  const auto make = [&](base::DType type, bool keep_types) { return upcycled(base, settings, type, keep_types); };
  const std::string card =
      made_card("Upcycled model",
                fmt::format("A Mixtral of {} experts a layer, {} of them for a token, each the MLP of a dense model "
                            "(noise {:g}, routers {}, seed {}).",
                            options.experts, options.chosen, options.noise, options.router, options.seed),
                {&base});
  const MadeOutput made = write_made(base, options.made, "lora: upcycling", make, card, context);
  const nlohmann::ordered_json facts = {
      {"input", base.path().string()}, {"experts", options.experts}, {"chosen", options.chosen}};
  const bool are_equal{options.noise == 0 && options.router == "zero"};
  tell_made(made,
            {facts,
             fmt::format("made {} experts a layer, {} of them for a token, out of {}", options.experts, options.chosen,
                         base.path().string()),
             fmt::format("{}next: train it on, so that experts become different:\n"
                         "  finetune train --model {} --data DATA.jsonl --output out/run\n",
                         are_equal ? "note: experts and their scores are all equal: without --noise or --router random "
                                     "every token goes to the same ones\n"
                                   : "",
                         base::shell_word(made.output))},
            context);
  return 0;
}

}  // namespace lora
