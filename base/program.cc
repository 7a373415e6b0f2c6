#include "base/program.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <sstream>

#include "base/error.h"
#include "base/outputs.h"
#include "base/text.h"

namespace base {
namespace {

// The options every command has; read before the command's own.
struct CommonOptions {
  std::string config, preset;
  bool quiet = false, json = false;
};

void print_help(const Program& program, std::ostream& out) {
  fmt::print(out, "{} - {}\n\nUsage: {} COMMAND [--config FILE.yaml] [--option value ...] [INPUT ...]\n\nCommands:\n",
             program.name, program.summary, program.name);
  for (const Command& command : program.commands) fmt::print(out, "  {:<14}{}\n", command.name, command.summary);
  fmt::print(out, "\n'{} help COMMAND' lists a command's options. '{} --version' prints the version.\n", program.name,
             program.name);
}

void print_command_help(const Program& program, const Command& command, std::ostream& out) {
  Command::Bound bound = command.bind();
  std::string words;
  for (const Option& option : bound.set->options())
    if (option.positional) words = " [INPUT ...]";
  fmt::print(out, "{} {} - {}\n\nUsage: {} {} [--option value ...]{}\n\nOptions:\n{}", program.name, command.name,
             command.summary, program.name, command.name, words, bound.set->help());
  fmt::print(out, "\nCommon options:\n  {:<34}{}\n", "--config PATH",
             "a YAML file of the options above; flags override it");
  if (!command.presets.empty()) {
    std::string names;
    for (const auto& [name, text] : command.presets) names += (names.empty() ? "" : ", ") + name;
    fmt::print(out, "  {:<34}{}\n", "--preset TEXT", "a ready-made config: " + names);
  }
  fmt::print(out, "  {:<34}{}\n  {:<34}{}\n", "--quiet", "no progress and no summary", "--json",
             "the result as JSON on standard output");
  if (!command.example.empty()) fmt::print(out, "\nExample:\n  {}\n", command.example);
}

const Command& command_or_throw(const Program& program, const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : program.commands) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  std::string close = nearest(name, names);
  throw UsageError({"unknown command", program.name, name, "one of " + join(names, ", "),
                    close.empty() ? "" : "did you mean '" + close + "'?"});
}

// Takes --config, --preset, --quiet and --json out of `words`.
CommonOptions take_common(std::vector<std::string>& words, bool has_presets) {
  CommonOptions common;
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      rest.insert(rest.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    auto valued = [&](const char* flag, std::string& target) {
      std::string prefix = std::string(flag) + "=";
      if (word.starts_with(prefix)) {
        target = word.substr(prefix.size());
      } else if (word == flag) {
        if (i + 1 >= words.size()) throw UsageError({"missing value", flag, "", "", ""});
        target = words[++i];
      } else {
        return false;
      }
      return true;
    };
    if (word == "--quiet") {
      common.quiet = true;
    } else if (word == "--json") {
      common.json = true;
    } else if (!valued("--config", common.config) && !(has_presets && valued("--preset", common.preset))) {
      rest.push_back(word);
    }
  }
  words = rest;
  return common;
}

int run_command(const Program& program, const Command& command, std::vector<std::string> words) {
  CommonOptions common = take_common(words, !command.presets.empty());
  Command::Bound bound = command.bind();
  if (!common.preset.empty()) {
    auto found = command.presets.find(common.preset);
    if (found == command.presets.end()) {
      std::vector<std::string> names;
      for (const auto& [name, text] : command.presets) names.push_back(name);
      throw UsageError({"unknown preset", "--preset", common.preset, "one of " + join(names, ", "), ""});
    }
    bound.set->read_yaml(found->second, "preset " + common.preset);
  }
  if (!common.config.empty()) {
    std::ifstream file(common.config);
    std::stringstream text;
    if (!file || !(text << file.rdbuf())) throw UsageError({"cannot read the config file", common.config, "", "", ""});
    bound.set->read_yaml(text.str(), common.config);
  }
  bound.set->read_words(words);
  bound.set->check_required();
  check_outputs(*bound.set, common.config);
  Context context{std::cout, std::cerr, common.quiet, common.json, bound.set->to_yaml(), program.name};
  int code = bound.run(context);
  std::cout.flush();
  if (!std::cout) throw Error("cannot write to standard output");
  return code;
}

int run(const Program& program, std::vector<std::string> words) {
  if (words.empty()) {
    print_help(program, std::cerr);
    return 2;
  }
  std::string first = words[0];
  words.erase(words.begin());
  if (first == "--version" || first == "version") {
    fmt::print(std::cout, "{} (Hornbook) {}\n", program.name, version());
    if (program.version_details) std::cout << program.version_details();
    return 0;
  }
  if (first == "--help" || first == "-h" || (first == "help" && words.empty())) {
    print_help(program, std::cout);
    return 0;
  }
  if (first == "help") {
    print_command_help(program, command_or_throw(program, words[0]), std::cout);
    return 0;
  }
  const Command& command = command_or_throw(program, first);
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word == "--help" || word == "-h") {
      print_command_help(program, command, std::cout);
      return 0;
    }
  }
  return run_command(program, command, words);
}

}  // namespace

const char* version() { return HORNBOOK_VERSION; }

int run_program(const Program& program, int argc, char** argv) {
  // A closed pipe (`| head`) is a write error we report, not a silent death.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is a write error like a full disk
  try {
    return run(program, std::vector<std::string>(argv + 1, argv + argc));
  } catch (const UsageError& error) {
    fmt::print(std::cerr, "{}: {}\n", program.name, error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(std::cerr, "{}: {}\n", program.name, error.what());
    return 1;
  }
}

}  // namespace base
