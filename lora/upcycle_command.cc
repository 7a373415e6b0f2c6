// `lora upcycle`: a model of experts out of a dense one. Tested by tests/cli/lora/upcycle.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/outputs.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/write_model.h"
#include "lora/commands.h"
#include "lora/compose/upcycle.h"
#include "lora/locate.h"

namespace lora {

namespace fs = std::filesystem;

int run_upcycle(UpcycleOptions& options, base::Context& context) {
  const ModelFiles base(only_input(options.input, "one model: lora upcycle MODEL --experts 8 --chosen 2"));
  tell_notes(base, context);
  const fs::path output = without_separator(options.output);
  base::check_output_is_folder("--output", output);
  check_folder(output, options.overwrite);
  base::check_outputs({output}, {base.path()});
  const bool keep_types = options.dtype == "auto";
  const base::DType type = keep_types ? natural_type(base) : type_from_name(options.dtype);
  const UpcycleSettings settings{options.experts, options.chosen, options.noise, options.router == "random",
                                 options.seed};
  const MadeModel model = upcycled(base, settings, type, keep_types);
  const std::uint64_t bytes = bytes_of(model);
  base::check_free_space(output, bytes, options.overwrite);
  const std::string config = config_text(model, base, type);

  OutputFolder folder(output, options.overwrite, context.run_yaml);
  base::Progress progress(context.err, context.quiet, "lora: upcycling");
  write_made_model(model, base, config, output, options.threads,
                   [&](double share) { progress.update(share, base::human_bytes(static_cast<double>(bytes))); });
  folder.finish();
  progress.finish();
  const std::int64_t parameters{parameters_of(spec_of(model.config))};
  if (context.json) {
    nlohmann::ordered_json result = {{"output", output.string()},
                                     {"input", base.path().string()},
                                     {"experts", options.experts},
                                     {"chosen", options.chosen},
                                     {"dtype", base::name_of(type)},
                                     {"parameters", parameters},
                                     {"bytes", bytes}};
    context.out << result.dump() << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err,
               "made {} experts a layer, {} of them for a token, out of {} into {} as {}: {} parameters, {}\n{}"
               "next: train it on, so that experts become different:\n"
               "  finetune train --model {} --data DATA.jsonl --output out/run\n",
               options.experts, options.chosen, base.path().string(), output.string(), base::name_of(type),
               base::human_count(static_cast<std::uint64_t>(parameters)), base::human_bytes(static_cast<double>(bytes)),
               options.noise == 0 && options.router == "zero"
                   ? "note: experts and their scores are all equal: without --noise or --router random every token "
                     "goes to the same ones\n"
                   : "",
               base::shell_word(output.string()));
  return 0;
}

}  // namespace lora
