// The words of a command line into options. Tested by tests/base/options_test.cc.
#include <algorithm>
#include <boost/program_options.hpp>
#include <cctype>
#include <charconv>
#include <filesystem>

#include "base/error.h"
#include "base/options.h"
#include "base/text.h"

namespace base {
namespace {

// '-' is standard input, and '-1' a number.
bool is_flag(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && std::isdigit(static_cast<unsigned char>(word[1])) == 0;
}

bool is_numbers(const std::string& word) {
  const std::vector<std::string> parts = split(word, ',');
  return std::ranges::all_of(parts, [](const std::string& part) {
    double number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    return error == std::errc() && end == part.data() + part.size();
  });
}

// Whether `word`, behind a value of a list, is its next one: all words up to the next flag are, but of numbers only
// numbers.
bool goes_on(const Option& option, const std::string& word) {
  return !is_flag(word) && (option.type != "numbers" || is_numbers(word));
}

// `--lora.targets q_proj train.jsonl`: a name or an input?
void refuse_unclear(const Option& option, const std::string& word) {
  if (option.path_kind != PathKind::kText || option.type == "numbers" || !std::filesystem::exists(word)) return;
  throw UsageError({"an input of that name is there: is it one, or a value?", option.flag(), shortened(word),
                    "inputs before the options, or behind '--'", "if it is a value: " + option.flag() + "=" + word});
}

}  // namespace

std::vector<std::string> OptionSet::canonical(const std::vector<std::string>& words) {
  std::vector<std::string> canonical;
  const bool has_words = std::ranges::any_of(visitor_.options_, [](const Option& option) { return option.positional; });
  // It would be read as a word: a file, an adapter.
  const auto refuse_value = [&](const Option& option, const std::string& word, std::size_t next) {
    if (word.find('=') != word.npos || next >= words.size() || (words[next] != "true" && words[next] != "false"))
      return;
    throw UsageError({"a switch takes no value behind it", word, words[next],
                      option.flag() + ", --no-" + option.flag().substr(2) + " or " + option.flag() + "=" + words[next],
                      ""});
  };
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      canonical.insert(canonical.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (!is_flag(word)) {
      canonical.push_back(word);
      continue;
    }
    const bool output = (word == "-o" || word.starts_with("-o=")) && find("output") != nullptr;
    if (word[1] != '-' && !output)
      throw UsageError({"unknown option", kCommandLine, word, "options that start with --", ""});
    std::size_t equals = word.find('=');
    std::string name = output ? "output" : word.substr(2, equals == word.npos ? word.npos : equals - 2);
    std::replace(name.begin(), name.end(), '-', '_');
    if (find(name) == nullptr && name.starts_with("no_") && equals == word.npos) {
      const Option* negated = find(name.substr(3));
      if (negated != nullptr && negated->is_flag) {
        refuse_value(*negated, word, i + 1);
        canonical.push_back("--" + negated->name + "=false");
        continue;
      }
    }
    Option& option = option_or_throw(name, kCommandLine);
    if (option.is_flag) {
      canonical.push_back("--" + name + "=" + (equals == word.npos ? "true" : word.substr(equals + 1)));
      refuse_value(option, word, i + 1);
      continue;
    }
    if (equals == word.npos) {
      // A flag in the place of a value is a forgotten value: `--output --overwrite`.
      const bool missing = i + 1 >= words.size() || (words[i + 1].starts_with("--") && words[i + 1].size() > 2);
      if (missing) throw UsageError({"missing value", option.flag(), "", option.help, ""});
    }
    const std::string value = equals == word.npos ? words[++i] : word.substr(equals + 1);
    if (value.empty() && option.path_kind != PathKind::kText)
      throw UsageError({"an empty value", option.flag(), "", option.help, "is a variable of the shell not set?"});
    canonical.insert(canonical.end(), {"--" + name, value});
    if (!option.is_list || equals != word.npos) continue;
    while (i + 1 < words.size() && goes_on(option, words[i + 1])) {
      ++i;
      if (has_words && !option.positional) refuse_unclear(option, words[i]);
      canonical.insert(canonical.end(), {"--" + name, words[i]});
    }
  }
  return canonical;
}

void OptionSet::read_words(const std::vector<std::string>& words) {
  namespace po = boost::program_options;
  po::options_description description;
  po::positional_options_description positional;
  for (const Option& option : visitor_.options_) {
    auto* values = po::value<std::vector<std::string>>()->composing();
    description.add_options()(option.name.c_str(), values);
    if (option.positional) positional.add(option.name.c_str(), -1);
  }
  po::variables_map given;
  using Style = po::command_line_style::style_t;
  // allow_guessing (abbreviated flags) stays off: a script must not change its meaning when an option is added.
  int style = Style::allow_long | Style::long_allow_adjacent | Style::long_allow_next;
  po::command_line_parser parser(canonical(words));
  parser.options(description).style(style).positional(positional);
  try {
    po::store(parser.run(), given);
  } catch (const po::too_many_positional_options_error&) {
    throw UsageError({"this command takes no words without a flag", "command line", join(words, " "), "", ""});
  } catch (const po::error& error) {
    throw UsageError({error.what(), "command line", "", "", ""});
  }
  for (Option& option : visitor_.options_) {
    if (given.count(option.name) == 0) continue;
    const auto& values = given[option.name].as<std::vector<std::string>>();
    if (!option.is_list && std::count(values.begin(), values.end(), values[0]) != std::ssize(values))
      throw UsageError({"given more than once", option.flag(), join(values, "' and '"), "one value", ""});
    option.assign(option.is_list ? values : std::vector<std::string>{values.back()}, option.flag());
  }
}

}  // namespace base
