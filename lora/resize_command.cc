// `lora scale` and `lora resize`: one adapter as another. Tested by tests/cli/lora/scale and tests/cli/lora/resize.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/contents.h"
#include "lora/commands.h"
#include "lora/fuse/extras.h"
#include "lora/fuse/fuse.h"
#include "lora/locate.h"

namespace lora {

using nlohmann::ordered_json;

int run_scale(ScaleOptions& options, base::Context& context) {
  const std::string& input = only_input(options.input, "one adapter: lora scale RUN --by 0.5 --output DIR");
  if (!std::isfinite(options.by))
    throw base::UsageError({"not a factor", "by", fmt::format("{}", options.by), "a number", ""});
  AdapterInputs inputs = read_adapters({input}, options.made, context);
  refuse_trained_extras(inputs.adapters[0], input, "scaled");
  Adapter adapter = scaled(std::move(inputs.adapters[0]), options.by);
  const std::string origin =
      fmt::format("The adapter {} with its change times {:g}.", short_name(inputs, 0), options.by);
  const std::string note = write_made_adapter(adapter, origin, inputs, options.made, context);
  if (context.json) {
    ordered_json json = {{"output", options.made.output},
                         {"adapter", inputs.folders[0].string()},
                         {"by", options.by},
                         {"base_model", adapter.base_model},
                         {"rank", adapter.rank}};
    add_contents(adapter, json);
    context.out << base::json_dump(json) << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "scaled {} by {:g} into {}: {}, rank {}\n{}next: lora merge {}\n", input, options.by,
               options.made.output, contents_text(adapter), rank_text(adapter), note,
               base::shell_word(options.made.output));
  return 0;
}

int run_resize(ResizeOptions& options, base::Context& context) {
  const std::string& input = only_input(options.input, "one adapter: lora resize RUN --rank 8 --output DIR");
  if ((options.rank == 0) == (options.keep_energy == 0))
    throw base::UsageError(
        {"not one of --rank and --keep-energy", "", "", "the one or the other", "--rank 8, or --keep-energy 0.95"});
  AdapterInputs inputs = read_adapters({input}, options.made, context);
  base::Progress progress(context.err, context.quiet, "lora: resizing");
  FusedAdapter result =
      resized(inputs.adapters[0], options.rank, options.keep_energy, base::thread_count(options.made.threads),
              [&](double share) { progress.update(share, ""); });
  progress.finish();
  const std::string origin =
      fmt::format("The adapter {} cut to {}.", short_name(inputs, 0),
                  options.rank != 0 ? fmt::format("rank {}", options.rank)
                                    : fmt::format("{:g} of its energy in every module", options.keep_energy));
  const std::string note = write_made_adapter(result.adapter, origin, inputs, options.made, context);
  if (context.json) {
    ordered_json json = {{"output", options.made.output},
                         {"adapter", inputs.folders[0].string()},
                         {"base_model", result.adapter.base_model},
                         {"rank", result.adapter.rank}};
    add_contents(result.adapter, json);
    add_modules(result.modules, json);
    context.out << base::json_dump(json) << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "resized {} into {}: {}, rank {} instead of {}\n{}{}next: lora merge {}\n", input,
               options.made.output, contents_text(result.adapter), rank_text(result.adapter),
               rank_text(inputs.adapters[0]), cut_text(result.modules), note, base::shell_word(options.made.output));
  return 0;
}

}  // namespace lora
