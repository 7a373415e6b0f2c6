// What the commands that make an adapter out of others have alike.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"
#include "lora/adapter/adapter.h"
#include "lora/fuse/fuse.h"

namespace lora {

struct MadeAdapterOptions {
  std::string base, base_name, output;
  bool overwrite = false;
  int threads = 0;
  void visit(base::OptionVisitor& v);
};

/// Adapters as a command takes them: plain LoRA under the names of one base.
struct AdapterInputs {
  std::vector<std::string> names;  ///< as they were given
  std::vector<std::filesystem::path> folders;
  std::vector<Adapter> adapters;
  std::string base;  ///< where their base lies, "" where that is not known and not needed
};

/// Reads runs and adapters. The base is only opened where it is given (`base`), where an adapter is right only with it,
/// or to tell whether two names are of one model. Throws UsageError for adapters of different bases, and what reading
/// throws.
AdapterInputs read_adapters(const std::vector<std::string>& names, const std::string& base, int threads,
                            base::Context& context);

/// The same for a command that writes an adapter, whose output is checked first: nothing is computed for one that
/// cannot be written or would destroy an input.
AdapterInputs read_adapters(const std::vector<std::string>& names, const MadeAdapterOptions& options,
                            base::Context& context);

/// Writes the adapter's folder: its two files, a README.md that says what it was made of (`origin`), run.yaml, in which
/// `base` says where the base lies, and of the adapters' folders the tokenizer's files with the chat template, the
/// first ones that there are. Gives what there is to say of these.
std::string write_made_adapter(Adapter& adapter, const std::string& origin, const AdapterInputs& inputs,
                               MadeAdapterOptions& options, base::Context& context);

/// An adapter without the place where it lies: the run's name of RUN/adapter.
std::string short_name(const AdapterInputs& inputs, std::size_t index);
/// "8", or "3 to 8" where modules have different ones.
std::string rank_text(const Adapter& adapter);
/// What cutting to ranks left out, for people: "", or a line.
std::string cut_text(const std::vector<FusedModule>& modules);
/// "norm", "error" (what was cut, as a share of it) and "per_module" into `result`.
void add_modules(const std::vector<FusedModule>& modules, nlohmann::ordered_json& result);

}  // namespace lora
