// YAML files into options and back (yaml-cpp). Tested by tests/base/options_test.cc.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "base/options.h"
#include "base/suggestions.h"
#include "base/text.h"
#include "base/unicode.h"
#include "base/yaml_text.h"

namespace base {
namespace {

namespace fs = std::filesystem;

std::string at(const std::string& file, const YAML::Node& node) {
  return fmt::format("{}:{}", file, node.Mark().line + 1);
}

// As it could stand in a file, for errors: "[1e-4]", "{a: 1}".
std::string in_flow(const YAML::Node& node) {
  YAML::Emitter emitter;
  emitter << YAML::Flow << node;
  return shortened(emitter.c_str());
}

std::string absolute_path(const std::string& value, const Option& option, const std::string& file) {
  if (!option.is_path(value) || fs::path(value).is_absolute()) return value;
  // As a shell does on the command line.
  if (const char* home = std::getenv("HOME"); home != nullptr && (value == "~" || value.starts_with("~/")))
    return home + value.substr(1);
  fs::path joined = (fs::absolute(file).parent_path() / value).lexically_normal();
  if (option.path_kind == PathKind::kModel && !fs::exists(joined)) return value;
  return joined.string();
}

// A path may hold bytes that are not UTF-8, of which a YAML text has none: they go as base64, as YAML has it for bytes.
// (The emitter would replace them.)
std::string in_quotes(const std::string& value) {
  if (find_invalid_utf8(value) != value.npos)
    return "!!binary \"" + YAML::EncodeBase64(reinterpret_cast<const unsigned char*>(value.data()), value.size()) + '"';
  YAML::Emitter emitter;
  emitter << YAML::DoubleQuoted << value;
  return emitter.c_str();
}

// The one document of a config file: a mapping.
YAML::Node load_mapping(const std::string& text, const std::string& file) {
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(text);
  } catch (const YAML::Exception& error) {
    throw UsageError({"not valid YAML: " + error.msg, fmt::format("{}:{}", file, error.mark.line + 1), "", "", ""});
  }
  const char* expected = "'option: value' lines";
  if (documents.size() > 1)
    throw UsageError(
        {"the config file holds more than one document", at(file, documents[1]), "", "one, without '---'", ""});
  if (documents.empty() || documents[0].IsNull())
    throw UsageError({"the config file holds no options", file, "", expected, "is it empty, or all comments?"});
  if (!documents[0].IsMap()) throw UsageError({"not a config file", file, "", expected, ""});
  return documents[0];
}

}  // namespace

std::string yaml_text(const YAML::Node& scalar) {
  if (scalar.Tag() != "tag:yaml.org,2002:binary") return scalar.Scalar();
  const std::vector<unsigned char> bytes = YAML::DecodeBase64(scalar.Scalar());
  return {bytes.begin(), bytes.end()};
}

// Sets the options of one file.
class OptionSet::YamlReader {
 public:
  YamlReader(OptionSet& set, const std::string& file) : set_(set), visitor_(set.visitor_), file_(file) {}

  void read(const YAML::Node& root) {
    // The list comes first: its entries decide which options exist.
    if (!visitor_.list_name_.empty() && root[visitor_.list_name_]) read_list(root[visitor_.list_name_]);
    read_mapping("", root);
  }

 private:
  void read_option(const std::string& name, const YAML::Node& key, const YAML::Node& value) {
    Option& option = set_.option_or_throw(name, at(file_, key));
    std::vector<std::string> values;
    if (value.IsMap()) {
      // `rank_pattern: {q_proj: 8}`, as PEFT has it, is [q_proj=8].
      if (option.type != "list" || option.path_kind != PathKind::kText)
        throw UsageError({"'" + name + "' takes no mapping", at(file_, value), in_flow(value), option.expected(), ""});
      for (const auto& entry : value) {
        if (!entry.first.IsScalar() || !entry.second.IsScalar())
          throw UsageError(
              {"'" + name + "' takes plain values", at(file_, entry.first), in_flow(value), "'name: value' pairs", ""});
        values.push_back(entry.first.Scalar() + "=" + entry.second.Scalar());
      }
    } else if (value.IsSequence()) {
      if (!option.is_list)
        throw UsageError({"'" + name + "' takes one value", at(file_, value), in_flow(value), option.expected(), ""});
      for (const YAML::Node& item : value) {
        if (!item.IsScalar())
          throw UsageError(
              {"'" + name + "' takes plain values", at(file_, item), in_flow(item), option.expected(), ""});
        values.push_back(absolute_path(yaml_text(item), option, file_));
      }
    } else if (value.IsScalar()) {
      values.push_back(absolute_path(yaml_text(value), option, file_));
    } else {
      throw UsageError(
          {"'" + name + "' has no value", at(file_, key), "", option.expected(), "write one, or delete the line"});
    }
    option.assign(values, at(file_, value) + ": " + name);
  }

  void read_mapping(const std::string& prefix, const YAML::Node& map) {
    for (const auto& entry : map) {
      if (!entry.first.IsScalar() || entry.first.Scalar().empty())
        throw UsageError(
            {"a key is not the name of an option", at(file_, entry.first), "", "'option: value' lines", ""});
      const std::string name = prefix + entry.first.Scalar();
      if (!seen_.insert(name).second) throw UsageError({"the key stands twice", at(file_, entry.first), name, "", ""});
      if (name == visitor_.list_name_) continue;  // was read first
      const auto in_group = [&](const Option& option) { return option.name.starts_with(name + "."); };
      const bool is_group{!set_.find(name) && std::ranges::any_of(visitor_.options_, in_group)};
      if (is_group && entry.second.IsNull()) continue;  // all of it is commented out
      if (is_group && !entry.second.IsMap())
        throw UsageError({"'" + name + "' is a group of options", at(file_, entry.second), in_flow(entry.second),
                          "'option: value' lines below it",
                          "the help of this command lists them as --" + name + ".OPTION"});
      if (!is_group) {
        read_option(name, entry.first, entry.second);
        continue;
      }
      read_mapping(name + ".", entry.second);
    }
  }

  void read_list(const YAML::Node& list) {
    if (!list.IsSequence())
      throw UsageError(
          {"takes a list", at(file_, list), visitor_.list_name_, "'- name' or '- name: {option: value}'", ""});
    if (set_.list_is_presets_)
      throw UsageError({"the list would replace the preset's", at(file_, list), visitor_.list_name_, "",
                        "leave out the preset or the list; options of the preset's entries are set by flags"});
    visitor_.list_->clear();
    std::map<std::string, int> count;
    std::vector<Entry> entries;
    for (const YAML::Node& item : list) entries.push_back(add_entry(item, count));
    set_.collect();
    for (const auto& [label, key, body] : entries) {
      if (!body.IsDefined() || body.IsNull()) continue;
      if (!body.IsMap())
        throw UsageError({"'" + label + "' takes options", at(file_, key), in_flow(body), "{option: value}", ""});
      read_mapping(label + ".", body);
    }
  }

  struct Entry {
    std::string label;
    YAML::Node key, body;
  };
  // Puts what `item` names on the list; `count` has how often each name came before.
  Entry add_entry(const YAML::Node& item, std::map<std::string, int>& count) {
    if (!item.IsScalar() && !(item.IsMap() && item.size() == 1))
      throw UsageError(
          {"not an entry of " + visitor_.list_name_, at(file_, item), "", "'- name' or '- name: {option: value}'", ""});
    const YAML::Node key = item.IsScalar() ? item : item.begin()->first;
    const YAML::Node body = item.IsScalar() ? YAML::Node() : YAML::Node(item.begin()->second);
    const std::string name = key.Scalar();
    const auto found = visitor_.registry_->find(name);
    if (found == visitor_.registry_->end()) {
      std::vector<std::string> names;
      for (const auto& [known, make] : *visitor_.registry_) names.push_back(known);
      throw UsageError({"unknown name in " + visitor_.list_name_, at(file_, key), name, "one of " + join(names, ", "),
                        suggest_word(name, names)});
    }
    const int number = ++count[name];
    const std::string label = number == 1 ? name : fmt::format("{}#{}", name, number);
    visitor_.list_->push_back({name, label, found->second()});
    return {label, key, body};
  }

  OptionSet& set_;
  OptionVisitor& visitor_;
  const std::string& file_;
  std::set<std::string> seen_;  // also what is written both as `lora: {rank: 8}` and `lora.rank: 8`
};

void OptionSet::read_yaml(const std::string& text, const std::string& file) {
  YamlReader(*this, file).read(load_mapping(text, file));
}

void OptionSet::read_preset(const std::string& text, const std::string& name) {
  read_yaml(text, "preset " + name);
  list_is_presets_ = visitor_.list_ && !visitor_.list_->empty();
}

std::string OptionSet::to_yaml() const {
  auto value_of = [](const Option& option) {
    std::vector<std::string> values = option.get();
    for (std::string& value : values) {
      if (option.is_path(value) && (option.path_kind != PathKind::kModel || fs::exists(value)))
        value = fs::absolute(value).lexically_normal().string();
      if (option.type == "text" || option.type == "path" || option.type == "list") value = in_quotes(value);
    }
    return option.is_list ? "[" + join(values, ", ") + "]" : values[0];
  };
  std::string text;
  std::map<std::string, std::string> in_list;  // label -> "option: value, ..."
  std::vector<std::string> labels;
  if (visitor_.list_)
    for (const NamedGroup& entry : *visitor_.list_) labels.push_back(entry.label);
  std::vector<std::string> open;  // the groups we stand in
  for (const Option& option : visitor_.options_) {
    std::vector<std::string> parts = split(option.name, '.');
    if (std::find(labels.begin(), labels.end(), parts[0]) != labels.end()) {
      std::string& line = in_list[parts[0]];
      line += (line.empty() ? "" : ", ") + option.name.substr(parts[0].size() + 1) + ": " + value_of(option);
      continue;
    }
    std::size_t shared = 0;
    while (shared < open.size() && shared + 1 < parts.size() && open[shared] == parts[shared]) ++shared;
    open.resize(shared);
    for (; shared + 1 < parts.size(); ++shared) {
      text += std::string(2 * shared, ' ') + parts[shared] + ":\n";
      open.push_back(parts[shared]);
    }
    text += std::string(2 * shared, ' ') + parts.back() + ": " + value_of(option) + "\n";
  }
  if (!labels.empty()) {
    text += visitor_.list_name_ + ":\n";
    for (const NamedGroup& entry : *visitor_.list_) text += "  - " + entry.name + ": {" + in_list[entry.label] + "}\n";
  }
  return text;
}

std::string without_options(const std::string& yaml, const std::set<std::string>& names) {
  std::string text;
  for (const std::string& line : split(yaml, '\n'))
    if (!line.empty() && !names.contains(line.substr(0, line.find(':')))) text += line + "\n";
  return text;
}

}  // namespace base
