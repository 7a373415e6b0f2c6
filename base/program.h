// What the four programs have in common: commands, help, version, config files, exit codes, one place that catches.
#pragma once

#include <exception>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/options.h"

namespace base {

/// What a running command is given besides its own options.
struct Context {
  std::ostream& out;                   ///< data
  std::ostream& err;                   ///< everything else
  bool quiet = false;                  ///< --quiet: no progress, no summary
  bool json = false;                   ///< --json: the result as JSON on `out`
  std::string run_yaml;                ///< every option of this run, ready to be saved beside the result
  std::string program;                 ///< "curate"
  const OptionSet* options = nullptr;  ///< this run's: which were given, and as YAML after the command changed some
};

/// One command of a program. Made by make_command.
struct Command {
  std::string name;
  std::string summary;                         ///< one line for the program's help
  std::string example;                         ///< a command line a user can type
  std::map<std::string, std::string> presets;  ///< --preset NAME -> YAML text; empty: no such option
  /// Fresh options and what runs them.
  struct Bound {
    std::shared_ptr<void> options;
    std::unique_ptr<OptionSet> set;
    std::function<int(Context&)> run;  ///< 0, 1 or kInterrupted
  };
  std::function<Bound()> bind;
};

/// `O` has `void visit(OptionVisitor&)`; `run` returns the exit code (0 done, 1 a negative finding) and throws Error.
template <class O>
Command make_command(std::string name, std::string summary, std::string example, int (*run)(O&, Context&)) {
  Command command{std::move(name), std::move(summary), std::move(example), {}, {}};
  command.bind = [run] {
    auto options = std::make_shared<O>();
    Command::Bound bound;
    bound.options = options;
    bound.set = std::make_unique<OptionSet>(*options);
    bound.run = [options, run](Context& context) { return run(*options, context); };
    return bound;
  };
  return command;
}

struct Program {
  std::string name;
  std::string summary;
  std::vector<Command> commands;
  std::function<std::string()> version_details;  ///< extra lines of --version (LibTorch, CUDA); may be empty
  /// What an exception of a library means, in words for people; nothing: no other words. May be empty.
  std::function<std::optional<Error>(const std::exception&)> explain = {};
};

/// `PROGRAM COMMAND [--config FILE.yaml] [--key value ...] [INPUT ...]`. Returns the exit code: 0 done, 1 failed,
/// 2 wrong usage. Never throws.
int run_program(const Program& program, int argc, char** argv);

/// "0.1.0"
const char* version();

}  // namespace base
