// `lora upcycle`: a model of experts out of a dense one. Tested by tests/cli/lora/upcycle.
#include <fmt/format.h>
#include <fmt/ostream.h>

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
  if (context.json) {
    nlohmann::ordered_json result = {
        {"output", made.output},    {"input", base.path().string()},     {"experts", options.experts},
        {"chosen", options.chosen}, {"dtype", base::name_of(made.type)}, {"parameters", made.parameters},
        {"bytes", made.bytes}};
    context.out << result.dump() << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err,
               "made {} experts a layer, {} of them for a token, out of {} into {} as {}: {} parameters, {}\n{}"
               "next: train it on, so that experts become different:\n"
               "  finetune train --model {} --data DATA.jsonl --output out/run\n",
               options.experts, options.chosen, base.path().string(), made.output, base::name_of(made.type),
               base::human_count(static_cast<std::uint64_t>(made.parameters)),
               base::human_bytes(static_cast<double>(made.bytes)),
               options.noise == 0 && options.router == "zero"
                   ? "note: experts and their scores are all equal: without --noise or --router random every token "
                     "goes to the same ones\n"
                   : "",
               base::shell_word(made.output));
  return 0;
}

}  // namespace lora
