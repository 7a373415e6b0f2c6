// What the commands that make a model out of another one's tensors have alike.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/options.h"
#include "base/program.h"
#include "lora/compose/made_model.h"

namespace lora {

struct MadeOptions {
  std::string output, dtype = "auto";
  bool overwrite = false;
  int threads = 0;
  void visit(base::OptionVisitor& v, const char* output_help);
};

struct MadeOutput {
  std::string output;  ///< the folder
  base::DType type;
  std::int64_t layers, parameters;
  std::uint64_t bytes;
};

/// Gives the model in `type`, or with `keep_types` in the natural types of the base.
using MakeModel = std::function<MadeModel(base::DType type, bool keep_types)>;

/// Checks the output, makes the model, checks free space and the model's config, and writes the folder behind a
/// progress line that says `doing`, with `card` as its README.md. Throws what these throw, before anything is emptied
/// or made.
MadeOutput write_made(const ModelFiles& base, const MadeOptions& options, const std::string& doing,
                      const MakeModel& make, const std::string& card, base::Context& context);

/// What a command tells of itself beside what all of them do.
struct MadeSummary {
  const nlohmann::ordered_json& facts;  ///< members of the JSON line between the output and its type and size
  std::string done;  ///< "stacked 3 layers out of MODEL": the line goes on with " into OUTPUT as ..."
  std::string next;  ///< whole lines: what to note and to do next
};

/// Prints what was made, as JSON for scripts and as text for people, where they are wanted.
void tell_made(const MadeOutput& made, const MadeSummary& summary, base::Context& context);

}  // namespace lora
