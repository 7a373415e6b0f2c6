#include "base/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "base/error.h"
#include "base/text.h"

namespace base {
namespace {

template <class N>
N parse_number(const std::string& text, const char* expected) {
  N number{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw UsageError({"not a valid value", "", shortened(text), expected, ""});
  return number;
}

double parse_double(const std::string& text) {
  double number = parse_number<double>(text, "a number such as 0.5 or 2e-4");
  if (!std::isfinite(number)) throw UsageError({"not a valid value", "", text, "a finite number", ""});
  return number;
}

bool parse_flag(const std::string& text) {
  if (text == "true" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "no" || text == "off") return false;
  throw UsageError({"not a valid value", "", shortened(text), "true or false", ""});
}

std::uint64_t parse_bytes(const std::string& text) {
  const char* expected = "a size such as 512M or 2G";
  if (text.empty()) throw UsageError({"not a valid value", "", text, expected, ""});
  std::string digits = text;
  int shift = 0;
  switch (digits.back()) {
    case 'k':
    case 'K':
      shift = 10;
      break;
    case 'm':
    case 'M':
      shift = 20;
      break;
    case 'g':
    case 'G':
      shift = 30;
      break;
    case 't':
    case 'T':
      shift = 40;
      break;
  }
  if (shift) digits.pop_back();
  auto number = parse_number<std::uint64_t>(digits, expected);
  if (number > (~std::uint64_t{0} >> shift)) throw UsageError({"not a valid value", "", text, expected, ""});
  return number << shift;
}

// The shortest text that reads back as the same double.
std::string to_text(double number) { return fmt::format("{}", number); }

const std::string& only(const std::vector<std::string>& values) {
  if (values.size() != 1) throw UsageError({"takes one value", "", join(values, " "), "exactly one", ""});
  return values[0];
}

}  // namespace

Option& OptionVisitor::push(std::string_view name, std::string_view help, const char* type, PathKind kind) {
  Option option;
  option.name = prefix_ + std::string(name);
  option.help = help;
  option.type = kind == PathKind::kText ? type : "path";
  option.path_kind = kind;
  options_.push_back(std::move(option));
  return options_.back();
}

Option& OptionVisitor::add(std::string_view name, bool& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "flag", kind);
  option.is_flag = true;
  option.set = [&field](const auto& values) { field = parse_flag(only(values)); };
  option.get = [&field] { return std::vector<std::string>{field ? "true" : "false"}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, int& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "integer", kind);
  option.set = [&field](const auto& values) { field = parse_number<int>(only(values), "a whole number"); };
  option.get = [&field] { return std::vector<std::string>{std::to_string(field)}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, std::int64_t& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "integer", kind);
  option.set = [&field](const auto& values) { field = parse_number<std::int64_t>(only(values), "a whole number"); };
  option.get = [&field] { return std::vector<std::string>{std::to_string(field)}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, std::uint64_t& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "integer", kind);
  option.set = [&field](const auto& values) {
    field = parse_number<std::uint64_t>(only(values), "a whole number, not negative");
  };
  option.get = [&field] { return std::vector<std::string>{std::to_string(field)}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, double& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "number", kind);
  option.set = [&field](const auto& values) { field = parse_double(only(values)); };
  option.get = [&field] { return std::vector<std::string>{to_text(field)}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, std::string& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "text", kind);
  option.set = [&field](const auto& values) { field = only(values); };
  option.get = [&field] { return std::vector<std::string>{field}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, ByteSize& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "size", kind);
  option.set = [&field](const auto& values) { field.bytes = parse_bytes(only(values)); };
  option.get = [&field] { return std::vector<std::string>{std::to_string(field.bytes)}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, std::vector<std::string>& field, std::string_view help,
                           PathKind kind) {
  Option& option = push(name, help, "list", kind);
  option.is_list = true;
  option.set = [&field](const auto& values) { field = values; };
  option.get = [&field] { return field; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, std::vector<double>& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "list", kind);
  option.is_list = true;
  option.set = [&field](const auto& values) {
    std::vector<double> numbers;
    for (const std::string& value : values) numbers.push_back(parse_double(value));
    field = numbers;
  };
  option.get = [&field] {
    std::vector<std::string> values;
    for (double number : field) values.push_back(to_text(number));
    return values;
  };
  return option;
}

void OptionVisitor::choice(std::string_view name, std::string& field, std::vector<std::string> choices,
                           std::string_view help) {
  Option& option = push(name, help, "text", PathKind::kText);
  option.choices = choices;
  option.set = [&field, choices](const auto& values) {
    const std::string& value = only(values);
    if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
      std::string close = nearest(value, choices);
      throw UsageError({"not a valid value", "", shortened(value), "one of " + join(choices, ", "),
                        close.empty() ? "" : "did you mean '" + close + "'?"});
    }
    field = value;
  };
  option.get = [&field] { return std::vector<std::string>{field}; };
}

void OptionVisitor::list(std::string_view name, std::vector<NamedGroup>& field, const GroupRegistry& registry,
                         std::string_view help) {
  list_name_ = prefix_ + std::string(name);
  list_help_ = help;
  list_ = &field;
  registry_ = &registry;
  for (NamedGroup& entry : field) group(entry.label, *entry.group);
}

void OptionSet::collect() {
  std::set<std::string> given;
  std::map<std::string, std::string> fallback;
  for (const Option& option : visitor_.options_) {
    if (option.given) given.insert(option.name);
    fallback[option.name] = option.fallback;
  }
  visitor_ = OptionVisitor();
  visit_(visitor_);
  for (Option& option : visitor_.options_) {
    option.given = given.count(option.name) > 0;
    // A default is what the field held before anything set it.
    option.fallback = fallback.count(option.name) ? fallback[option.name] : join(option.get(), ", ");
  }
}

const Option* OptionSet::find(std::string_view name) const {
  for (const Option& option : visitor_.options_)
    if (option.name == name) return &option;
  return nullptr;
}

Option& OptionSet::option_or_throw(const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (Option& option : visitor_.options_) {
    if (option.name == name) return option;
    names.push_back(option.name);
  }
  std::string close = nearest(name, names);
  throw UsageError({"unknown option", where, name, "",
                    close.empty() ? "the help of this command lists every option" : "did you mean '" + close + "'?"});
}

void OptionSet::check_required() const {
  for (const Option& option : visitor_.options_) {
    if (!option.required || option.given) continue;
    std::string flag = option.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    throw UsageError({"missing option --" + flag, "", "", "", option.help});
  }
}

void OptionSet::read_words(const std::vector<std::string>& words) {
  namespace po = boost::program_options;
  // Spelling is settled here (one letter for '-' and '_', flags without a word), so that Boost sees canonical words
  // only.
  std::vector<std::string> canonical;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      canonical.insert(canonical.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (word.size() < 2 || word[0] != '-' ||
        (word[1] != '-' && (std::isdigit(static_cast<unsigned char>(word[1])) != 0))) {
      canonical.push_back(word);
      continue;
    }
    if (word[1] != '-') throw UsageError({"unknown option", "", word, "options that start with --", ""});
    std::size_t equals = word.find('=');
    std::string name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
    std::replace(name.begin(), name.end(), '-', '_');
    if (find(name) == nullptr && name.starts_with("no_") && equals == word.npos) {
      const Option* negated = find(name.substr(3));
      if (negated != nullptr && negated->is_flag) {
        canonical.push_back("--" + negated->name + "=false");
        continue;
      }
    }
    Option& option = option_or_throw(name, "command line");
    if (option.is_flag) {
      canonical.push_back("--" + name + "=" + (equals == word.npos ? "true" : word.substr(equals + 1)));
    } else if (equals != word.npos) {
      canonical.push_back("--" + name);
      canonical.push_back(word.substr(equals + 1));
    } else {
      if (i + 1 >= words.size()) throw UsageError({"missing value", "--" + name, "", option.help, ""});
      canonical.push_back("--" + name);
      canonical.push_back(words[++i]);
    }
  }

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
  po::command_line_parser parser(canonical);
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
    try {
      // A scalar given twice: the last one counts, as users of a wrapped command expect.
      option.set(option.is_list ? values : std::vector<std::string>{values.back()});
    } catch (const UsageError& error) {
      ErrorFacts facts = error.facts();
      facts.where = "--" + option.name;
      throw UsageError(facts);
    }
    option.given = true;
  }
}

std::string OptionSet::help() const {
  std::string text;
  auto line = [&text](std::string left, const std::string& right) {
    if (left.size() < 34) {
      left.resize(34, ' ');
      text += "  " + left + right + "\n";
    } else {
      text += "  " + left + "\n" + std::string(36, ' ') + right + "\n";
    }
  };
  std::set<std::string> of_steps;
  if (visitor_.list_)
    for (const NamedGroup& entry : *visitor_.list_) of_steps.insert(entry.label);
  for (const Option& option : visitor_.options_) {
    if (of_steps.count(option.name.substr(0, option.name.find('.')))) continue;
    std::string flag = "--" + option.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    if (!option.is_flag) {
      std::string word = option.type;
      if (option.is_list) word = option.path_kind == PathKind::kText ? "text ..." : "path ...";
      std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::toupper(c); });
      flag += " " + word;
    }
    std::string help = option.help;
    if (!option.choices.empty()) help += ": " + join(option.choices, ", ");
    if (option.required) {
      help += " (required)";
    } else if (option.is_flag ? option.fallback == "true" : !option.fallback.empty()) {
      help += option.is_flag ? " [on; --no-... turns it off]" : " [" + option.fallback + "]";
    }
    line(flag, help);
  }
  if (visitor_.list_) line(visitor_.list_name_ + ": (config file)", visitor_.list_help_);
  return text;
}

}  // namespace base
