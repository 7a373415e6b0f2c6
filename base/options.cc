// Options declared once: one visitor line per field gives the flag, the YAML key, the help line and the line in
// run.yaml. Tested by tests/base/options_test.cc.
#include "base/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/suggestions.h"
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
  const std::string word = ascii_lower(text);  // YAML has True and TRUE too
  if (word == "true" || word == "yes" || word == "on") return true;
  if (word == "false" || word == "no" || word == "off") return false;
  throw UsageError({"not a valid value", "", shortened(text), "true or false", ""});
}

constexpr std::string_view kSizeUnits = "kmgt";  // each 1024 (or 1000) times the one before

// "512M", "2GiB" (powers of 1024), "100MB" (powers of 1000), "1.5G", "64 k", "123".
std::uint64_t parse_bytes(const std::string& text) {
  const char* expected = "a size such as 512M, 100MB or 2GiB";
  const auto refuse = [&] { throw UsageError({"not a valid value", "", shortened(text), expected, ""}); };
  std::string unit, digits = text;
  while (!digits.empty() && std::isalpha(static_cast<unsigned char>(digits.back())) != 0) {
    unit.insert(unit.begin(), digits.back());
    digits.pop_back();
  }
  unit = ascii_lower(unit);
  digits = trim(digits);
  std::uint64_t factor = 1;
  if (!unit.empty() && unit != "b") {
    const std::size_t power = kSizeUnits.find(unit[0]);
    const std::string rest = unit.substr(1);
    if (power == kSizeUnits.npos || (!rest.empty() && rest != "b" && rest != "ib")) refuse();
    for (std::size_t i = 0; i <= power; ++i) factor *= rest == "b" ? 1000 : 1024;
  }
  if (digits.find_first_not_of("0123456789") == digits.npos) {
    const auto number = parse_number<std::uint64_t>(digits, expected);
    if (number > ~std::uint64_t{0} / factor) refuse();
    return number * factor;
  }
  double number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, std::chars_format::fixed);
  const double bytes = number * static_cast<double>(factor);
  if (error != std::errc() || end != digits.data() + digits.size() || factor == 1 || !(bytes >= 0 && bytes < 1e19))
    refuse();
  return static_cast<std::uint64_t>(std::llround(std::min(bytes, 9e18)));
}

// In units of 1024 ("64k", "2G") or 1000 ("20GB").
std::string size_text(std::uint64_t bytes, std::uint64_t factor) {
  std::size_t power = 0;
  while (bytes > 0 && bytes % factor == 0 && power < kSizeUnits.size()) {
    bytes /= factor;
    ++power;
  }
  std::string text = std::to_string(bytes);
  if (power > 0) text += power == 1 ? 'k' : static_cast<char>(std::toupper(kSizeUnits[power - 1]));
  if (power > 0 && factor == 1000) text += 'B';
  return text;
}

// The shortest text that reads back as the same size.
std::string size_text(std::uint64_t bytes) {
  const std::string binary = size_text(bytes, 1024), decimal = size_text(bytes, 1000);
  return decimal.size() < binary.size() ? decimal : binary;
}

// The shortest text that reads back as the same double.
std::string to_text(double number) { return fmt::format("{}", number); }

const std::string& only(const std::vector<std::string>& values) {
  if (values.size() != 1) throw UsageError({"takes one value", "", join(values, " "), "exactly one", ""});
  return values[0];
}

std::vector<std::string> parts_of(const std::vector<std::string>& words) {
  std::vector<std::string> parts;
  for (const std::string& word : words)
    for (const std::string& part : split(word, ',')) parts.emplace_back(trim(part));
  return parts;
}

// What stands on the left of the help: "--rank INTEGER", "--data PATH ...", "--packing, --no-packing".
std::string words_of(const Option& option) {
  std::string words = option.flag();
  if (option.name == "output") words += ", -o";
  if (option.is_flag) return words + (option.fallback == "true" ? ", --no-" + option.flag().substr(2) : "");
  std::string value = option.type;
  if (option.is_list) value = option.path_kind != PathKind::kText ? "path" : value == "numbers" ? "number" : "text";
  std::transform(value.begin(), value.end(), value.begin(), [](unsigned char c) { return std::toupper(c); });
  return words + " " + (option.choices.empty() ? value : join(option.choices, "|")) + (option.is_list ? " ..." : "");
}

}  // namespace

bool Range::holds(double number) const {
  return (above_low ? number > low : number >= low) && (below_high ? number < high : number <= high);
}

std::string Range::text() const {
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  std::string text;
  if (has_low && has_high && !above_low) {
    text = to_text(low) + (below_high ? " to below " : " to ") + to_text(high);
  } else {
    if (has_low) text = above_low ? "above " + to_text(low) : to_text(low) + " or more";
    if (has_high) text += (has_low ? ", " : "") + std::string(below_high ? "below " : "at most ") + to_text(high);
  }
  return text + (text.empty() || unit.empty() ? "" : " ") + unit;
}

Option& Option::at_least(double low) {
  range.low = low;
  return *this;
}

Option& Option::above(double low) {
  range.above_low = true;
  return at_least(low);
}

Option& Option::at_most(double high) {
  range.high = high;
  return *this;
}

Option& Option::below(double high) {
  range.below_high = true;
  return at_most(high);
}

Option& Option::unit(std::string_view name) {
  range.unit = name;
  return *this;
}

bool Option::is_path(const std::string& value) const {
  const bool is_word{path_kind == PathKind::kCacheFolder && (value == "auto" || value == "none")};
  return path_kind != PathKind::kText && !value.empty() && value != "-" && !is_word;
}

Option& Option::commas() {
  has_commas = true;
  return *this;
}

std::string Option::flag() const {
  std::string text = "--" + name;
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

std::string Option::expected() const {
  if (!choices.empty()) return "one of " + join(choices, ", ");
  static const std::map<std::string_view, std::string_view> kWords = {{"flag", "true or false"},
                                                                      {"integer", "a whole number"},
                                                                      {"number", "a number"},
                                                                      {"numbers", "a list of numbers"},
                                                                      {"size", "a size such as 64M"},
                                                                      {"count or %", "a count, or a share such as 1%"},
                                                                      {"list", "a list"},
                                                                      {"path", "a path"},
                                                                      {"text", "a text"}};
  if (type == "path" && is_list) return "a list of paths";
  const std::string numbers = range.text();
  return std::string(kWords.at(type)) + (numbers.empty() ? "" : ", " + numbers);
}

void Option::assign(const std::vector<std::string>& words, const std::string& where) {
  const std::string numbers = range.text();
  const std::vector<std::string> values = has_commas ? parts_of(words) : words;
  try {
    const bool some = std::any_of(values.begin(), values.end(), [](const auto& value) { return !value.empty(); });
    const bool gap = std::find(values.begin(), values.end(), "") != values.end();
    if ((required && !some) || (is_list && path_kind != PathKind::kText && gap))
      throw UsageError({"an empty value", "", "", help, ""});
    set(values);
    for (const std::string& value : values) {
      if (numbers.empty()) break;
      const double number = type == "size" ? static_cast<double>(parse_bytes(value)) : parse_double(value);
      if (!range.holds(number)) throw UsageError({"out of range", "", shortened(value), numbers, ""});
    }
  } catch (const UsageError& error) {
    ErrorFacts facts = error.facts();
    facts.where = where;
    if (!numbers.empty() && facts.expected != numbers) facts.expected += ", " + numbers;
    throw UsageError(facts);
  }
  given = true;
}

std::string Option::description() const {
  std::string text = help;
  // That no number is negative needs no saying, except by the error.
  if (const std::string numbers = range.text(); !numbers.empty() && numbers != "0 or more")
    text += " (" + numbers + ")";
  if (required) {
    text += " (required)";
  } else if (is_flag) {
    text += fallback == "true" ? " [on]" : "";
  } else if (!fallback.empty()) {
    text += " [" + shortened(fallback) + "]";
  }
  return text;
}

Option& OptionVisitor::push(std::string_view name, std::string_view help, const char* type, PathKind kind) {
  Option option;
  option.name = prefix_ + std::string(name);
  option.heading = heading_;
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
    field = parse_number<std::uint64_t>(only(values), "a whole number from 0 to 2^64 - 1");
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
  option.get = [&field] { return std::vector<std::string>{size_text(field.bytes)}; };
  return option;
}

Option& OptionVisitor::add(std::string_view name, Tolerance& field, std::string_view help, PathKind kind) {
  Option& option = push(name, help, "count or %", kind);
  option.set = [&field](const auto& values) { field = Tolerance::parse(only(values)); };
  option.get = [&field] { return std::vector<std::string>{field.text()}; };
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
  Option& option = push(name, help, "numbers", kind);
  option.is_list = true;
  option.has_commas = true;
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
  // An empty one has a word too.
  std::vector<std::string> words = choices;
  std::ranges::replace(words, std::string(), std::string("none"));
  option.choices = words;
  option.set = [&field, choices, words](const auto& values) {
    std::string value = only(values);
    const auto word = std::ranges::find(words, value);
    if (word != words.end()) value = choices[static_cast<std::size_t>(word - words.begin())];
    if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
      throw UsageError(
          {"not a valid value", "", shortened(value), "one of " + join(words, ", "), suggest_word(value, words)});
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
    if (fallback.count(option.name))
      option.fallback = fallback[option.name];
    else if (option.fallback.empty())
      option.fallback = join(option.get(), ", ");  // else who declares it says it
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
  const std::vector<std::string> of_words = {"config", "preset", "quiet", "json", "help"};
  if (where == kCommandLine) names.insert(names.end(), of_words.begin(), of_words.end());
  std::string advice = std::ranges::find(of_words, name) == of_words.end() ? suggest_option(name, names)
                                                                           : "it is for the command line alone";
  const std::string group = name.substr(0, name.rfind('.') + 1);
  if (advice.empty() && !group.empty()) {
    std::erase_if(names, [&](const std::string& known) { return !known.starts_with(group); });
    for (std::string& known : names) known.erase(0, group.size());
    if (!names.empty()) advice = "its options: " + join(names, ", ");
  }
  throw UsageError({"unknown option", where, shortened(name), "",
                    advice.empty() ? "the help of this command lists every option" : advice});
}

void OptionSet::check_required() const {
  for (const Option& option : visitor_.options_) {
    if (!option.required || option.given) continue;
    throw UsageError({"missing option " + option.flag(), "", "", "", option.help});
  }
}

std::string OptionSet::help() const {
  std::vector<std::string> headings;  // in the order in which they first appear
  std::map<std::string, std::string> entries;
  std::set<std::string> of_steps;
  if (visitor_.list_)
    for (const NamedGroup& entry : *visitor_.list_) of_steps.insert(entry.label);
  const auto add = [&](const std::string& heading, const std::string& text) {
    if (!entries.contains(heading)) headings.push_back(heading);
    entries[heading] += text;
  };
  for (const Option& option : visitor_.options_) {
    if (of_steps.count(option.name.substr(0, option.name.find('.')))) continue;
    add(option.heading, help_entry(words_of(option), option.description()));
  }
  if (visitor_.list_) add("", help_entry(visitor_.list_name_ + ": (config file)", visitor_.list_help_));
  std::string text;
  for (const std::string& heading : headings)
    text += fmt::format("{}{}:\n{}", text.empty() ? "" : "\n", heading.empty() ? "Options" : heading, entries[heading]);
  return text;
}

}  // namespace base
