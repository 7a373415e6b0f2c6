// Models made out of another one's tensors, on the command line. Tested by tests/cli/lora/stack and
// tests/cli/lora/upcycle.
#include "lora/made_output.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/progress.h"
#include "base/text.h"
#include "lora/adapter/write_model.h"
#include "lora/locate.h"

namespace lora {

void MadeOptions::visit(base::OptionVisitor& v, const char* output_help) {
  v.required("output", output, output_help, base::PathKind::kOutputModel);
  v.choice("dtype", dtype, {"auto", "float32", "bfloat16", "float16"},
           "auto: as it is, float16 if it is quantised, float32 if it is float64");
  v("overwrite", overwrite, "replace an earlier result; the folder is emptied before anything new is there");
  v("threads", threads, "threads; 0: all there are").at_least(0);
}

MadeOutput write_made(const ModelFiles& base, const MadeOptions& options, const std::string& doing,
                      const MakeModel& make, const std::string& card, base::Context& context) {
  const std::filesystem::path output = without_separator(options.output);
  base::check_output_is_folder("--output", output);
  check_folder(output, options.overwrite, context.run_yaml);
  base::check_outputs({output}, {base.path()});
  const bool keep_types = options.dtype == "auto";
  const base::DType type = keep_types ? natural_type(base) : type_from_name(options.dtype).type;
  const MadeModel model = make(type, keep_types);
  const std::uint64_t bytes = bytes_of(model);
  base::check_free_space(output, bytes, options.overwrite);
  const std::string config = config_text(model, base, type);

  OutputFolder folder(output, options.overwrite, context.run_yaml);
  base::Progress progress(context.err, context.quiet, doing);
  base::write_file(output / "README.md", card);
  write_made_model(model, base, config, output, options.threads,
                   [&](double share) { progress.update(share, base::human_bytes(static_cast<double>(bytes))); });
  folder.finish();
  progress.finish();
  return {output.string(), type, model.config.layers, parameters_of(spec_of(model.config)), bytes};
}

void tell_made(const MadeOutput& made, const MadeSummary& summary, base::Context& context) {
  if (context.json) {
    nlohmann::ordered_json result = {{"output", made.output}};
    result.update(summary.facts);
    result["dtype"] = base::name_of(made.type);
    result["parameters"] = made.parameters;
    result["bytes"] = made.bytes;
    context.out << base::json_dump(result) << "\n";
  }
  if (!context.quiet)
    fmt::print(context.err, "{} into {} as {}: {} parameters, {}\n{}", summary.done, made.output,
               base::name_of(made.type), base::human_count(static_cast<std::uint64_t>(made.parameters)),
               base::human_bytes(static_cast<double>(made.bytes)), summary.next);
}

}  // namespace lora
