// What the four programs have in common: commands, help, version, config files, exit codes, one place that catches.
// Tested by tests/tokenizer/program_test.cc and tests/base/input_tally_test.cc.
#include "base/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ostream.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/output_folder.h"
#include "base/outputs.h"
#include "base/suggestions.h"
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
  for (const Command& command : program.commands) out << help_entry(command.name, command.summary, 14);
  fmt::print(out, "\n'{} help COMMAND' lists a command's options.\n'{} --version' prints the version.\n", program.name,
             program.name);
}

void print_command_help(const Program& program, const Command& command, std::ostream& out) {
  Command::Bound bound = command.bind();
  std::string words, required;
  for (const Option& option : bound.set->options()) {
    if (option.positional) words = " [INPUT ...]";
    if (option.required) required += " --" + option.name + " ...";
  }
  fmt::print(out, "{} {}\n{}\nUsage: {} {}{} [--option value ...]{}\n\n{}", program.name, command.name,
             help_entry("", command.summary, 0), program.name, command.name, required, words, bound.set->help());
  out << "\nCommon options:\n" << help_entry("--config PATH", "a YAML file of the options above; flags override it");
  if (!command.presets.empty()) {
    std::string names;
    for (const auto& [name, text] : command.presets) names += (names.empty() ? "" : ", ") + name;
    out << help_entry("--preset TEXT", "a ready-made config: " + names);
  }
  out << help_entry("--quiet", "no progress and no summary")
      << help_entry("--json", "the result as JSON on standard output");
  if (!command.example.empty()) fmt::print(out, "\nExample:\n  {}\n", command.example);
}

const Command& command_or_throw(const Program& program, const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : program.commands) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  if (name.starts_with("-"))
    throw UsageError({"a command comes first, then its options", "", name, "one of " + join(names, ", "), ""});
  throw UsageError({"unknown command", "", shortened(name), "one of " + join(names, ", "), suggest_word(name, names)});
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
      if (word != flag && !word.starts_with(prefix)) return false;
      const bool missing = word == flag && (i + 1 >= words.size() || words[i + 1].starts_with("--"));
      const std::string value = missing ? "" : word == flag ? words[++i] : word.substr(prefix.size());
      if (value.empty()) throw UsageError({"missing value", flag, "", "", ""});
      if (!target.empty() && target != value)
        throw UsageError({"given more than once", flag, target + "' and '" + value, "one value", ""});
      target = value;
      return true;
    };
    if (word == "--quiet" || word == "--json") {
      const std::string next = i + 1 < words.size() ? words[i + 1] : "";
      if (next == "true" || next == "false")
        throw UsageError({"a switch takes no value behind it", word, next, word + " alone, or without it", ""});
      (word == "--quiet" ? common.quiet : common.json) = true;
    } else if (!valued("--config", common.config) && !(has_presets && valued("--preset", common.preset))) {
      rest.push_back(word);
    }
  }
  words = rest;
  return common;
}

// A config file is written by hand, or is a run.yaml.
constexpr std::uint64_t kLargestConfig = 16 << 20;

std::string config_text(const std::string& path) {
  try {
    const std::filesystem::file_type type = std::filesystem::status(path).type();
    if (type == std::filesystem::file_type::character || type == std::filesystem::file_type::block)
      throw Error("it is a device");
    return read_file(path, kLargestConfig);
  } catch (const Error& error) {
    throw UsageError({"the config file cannot be read: " + error.facts().what, path, "", error.facts().expected, ""});
  } catch (const std::filesystem::filesystem_error& error) {
    throw UsageError({"the config file cannot be read: " + error.code().message(), path, "", "", ""});
  }
}

int run_command(const Program& program, const Command& command, std::vector<std::string> words) {
  CommonOptions common = take_common(words, !command.presets.empty());
  Command::Bound bound = command.bind();
  if (!common.preset.empty()) {
    auto found = command.presets.find(common.preset);
    if (found == command.presets.end()) {
      std::vector<std::string> names;
      for (const auto& [name, text] : command.presets) names.push_back(name);
      throw UsageError({"unknown preset", "--preset", common.preset, "one of " + join(names, ", "),
                        suggest_word(common.preset, names)});
    }
    bound.set->read_preset(found->second, common.preset);
  }
  if (!common.config.empty()) {
    bound.set->read_yaml(config_text(common.config), common.config);
  }
  bound.set->read_words(words);
  bound.set->check_required();
  check_outputs(*bound.set, common.config);
  Context context{std::cout,
                  std::cerr,
                  common.quiet,
                  common.json,
                  run_head(program.name, command.name) + bound.set->to_yaml(),
                  program.name,
                  bound.set.get()};
  try {
    return bound.run(context);
  } catch (const UsageError& error) {
    ErrorFacts facts = error.facts();
    const Option* option = bound.set->find(facts.where);
    // A file or folder may have the name of an option: `--output output`.
    const auto is_given = [&](const Option& other) { return std::ranges::count(other.get(), facts.where) > 0; };
    if (!option || std::ranges::any_of(bound.set->options(), is_given)) throw;
    facts.where = option->flag();
    throw UsageError(std::move(facts));
  } catch (const Error& error) {
    ErrorFacts facts = error.facts();
    if (facts.advice != kMakeRoom || bound.set->find("resume") == nullptr) throw;
    facts.advice += ", with --resume";
    throw Error(facts);
  }
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

// A file that is opened would take the number of a standard stream that is closed (`>&-`), and what is printed would go
// into it. This way printing fails, as it should.
void fill_closed_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0 && errno == EBADF)
      if (::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;
}

constexpr const char* kMemoryAdvice =
    "give it more memory (ulimit -v, the container's limit), or take fewer --threads, less --memory or smaller inputs";

// What the libraries throw, in words for people.
Error told(const std::exception& error, const Program& program) {
  if (program.explain)
    if (const std::optional<Error> explained = program.explain(error)) return *explained;
  using namespace std::filesystem;
  if (const auto* of_file = dynamic_cast<const filesystem_error*>(&error))
    return Error({of_file->code().message(), of_file->path1().string(), "", "", advice_for(of_file->code().value())});
  if (dynamic_cast<const std::bad_alloc*>(&error) || dynamic_cast<const std::length_error*>(&error))
    return Error({"not enough memory", "", "", "", kMemoryAdvice});
  if (const auto* of_system = dynamic_cast<const std::system_error*>(&error)) {
    if (of_system->code() == std::errc::resource_unavailable_try_again)
      return Error({"the system gives no more threads", "", "", "",
                    "take fewer --threads, or raise the limit of processes (ulimit -u) or of memory (ulimit -v)"});
    return Error({of_system->code().message(), "", "", "", advice_for(of_system->code().value())});
  }
  if (dynamic_cast<const nlohmann::json::exception*>(&error)) {
    // "[json.exception.type_error.302] type must be string, but is number"
    const std::string text = error.what();
    const std::size_t end = text.find("] ");
    return Error({"JSON that is not as it is expected here: " + (end == text.npos ? text : text.substr(end + 2)), "",
                  "", "", "please report it with the command line"});
  }
  return Error(error.what());
}

}  // namespace

const char* version() { return HORNBOOK_VERSION; }

int run_program(const Program& program, int argc, char** argv) {
  // A closed pipe (`| head`) is a write error we report, not a silent death.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is a write error like a full disk
  fill_closed_streams();
  try {
    const int code = run(program, std::vector<std::string>(argv + 1, argv + argc));
    std::cout.flush();
    if (!std::cout) throw Error({"cannot write to standard output", "", "", "", advice_for(errno)});
    return code;
  } catch (const UsageError& error) {
    fmt::print(std::cerr, "{}: {}\n", program.name, error.what());
    return 2;
  } catch (const Error& error) {
    fmt::print(std::cerr, "{}: {}\n", program.name, error.what());
    return 1;
  } catch (const std::exception& error) {
    fmt::print(std::cerr, "{}: {}\n", program.name, told(error, program).what());
    return 1;
  }
}

}  // namespace base
