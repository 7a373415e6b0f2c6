// Options declared once: one visitor line per field gives the flag, the YAML key, the help line and the line in
// run.yaml.
//
//   struct TrainOptions {
//     std::string model;
//     double learning_rate = 2e-4;
//     LoraOptions lora;
//     void visit(base::OptionVisitor& v) {
//       v.required("model", model, "base model: a Hugging Face folder or a .gguf file", base::PathKind::kModel);
//       v("learning_rate", learning_rate, "peak rate, reached after warm-up");
//       v.group("lora", lora);                              // --lora.rank, lora: {rank: 16}
//     }
//   };
//
// Order: default < preset or config file < command line. '-' and '_' are the same letter in a flag.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace base {

/// A number of bytes, written "2G", "512M", "64k" or "123" (powers of 1024).
struct ByteSize {
  std::uint64_t bytes = 0;
};

/// What a string option stands for, which says how it is made absolute when it came from a config file, and whether it
/// is read or written (see base/outputs.h). kText: left alone. kPath: a file or files to read, relative to the config
/// file ('-' and absolute paths are left alone). kOutput: to write, made absolute like kPath. kModel: a model or
/// another thing that is read as a whole, relative to the config file if that exists, else left alone (a hub name).
enum class PathKind { kText, kPath, kModel, kOutput };

class OptionVisitor;

/// Something with options of its own and a name, chosen in a config file: one entry of a list such as `steps:`.
class OptionGroup {
 public:
  virtual ~OptionGroup() = default;
  virtual void visit(OptionVisitor& v) = 0;
};

/// One entry of a list of named groups, in file order.
struct NamedGroup {
  std::string name;   ///< as written: "deduplicate"
  std::string label;  ///< unique in the list: "deduplicate", "deduplicate#2"
  std::unique_ptr<OptionGroup> group;
};

/// What can stand in such a list: name -> a fresh group with its defaults.
using GroupRegistry = std::map<std::string, std::function<std::unique_ptr<OptionGroup>()>>;

/// One option, bound to the field it sets. Made by OptionVisitor.
struct Option {
  std::string name;      ///< full name with '_': "lora.rank"
  std::string help;      ///< one line; the default is added by the help printer
  std::string type;      ///< "flag", "number", "integer", "text", "path", "size", "list"
  std::string fallback;  ///< the default as text, "" for none
  bool required = false;
  bool positional = false;  ///< also takes the words without a flag
  bool is_flag = false;     ///< takes no separate word
  bool is_list = false;     ///< may be given several times
  PathKind path_kind = PathKind::kText;
  std::vector<std::string> choices;                          ///< empty: any value
  std::function<void(const std::vector<std::string>&)> set;  ///< throws UsageError without `where`
  std::function<std::vector<std::string>()> get;             ///< the value now, one string for a scalar
  bool given = false;
};

/// Collects the options of a struct. A struct's `visit` is called once per collection.
class OptionVisitor {
 public:
  template <class T>
  void operator()(std::string_view name, T& field, std::string_view help, PathKind kind = PathKind::kText) {
    add(name, field, help, kind);
  }
  template <class T>
  void required(std::string_view name, T& field, std::string_view help, PathKind kind = PathKind::kText) {
    add(name, field, help, kind).required = true;
  }
  /// Also filled by the words without a flag, in order. At most one per command.
  void positional(std::string_view name, std::vector<std::string>& field, std::string_view help,
                  PathKind kind = PathKind::kPath) {
    add(name, field, help, kind).positional = true;
  }
  /// A text that must be one of `choices`.
  void choice(std::string_view name, std::string& field, std::vector<std::string> choices, std::string_view help);
  template <class G>
  void group(std::string_view name, G& options) {
    std::string outer = prefix_;
    prefix_ += std::string(name) + ".";
    options.visit(*this);
    prefix_ = outer;
  }
  /// A list of named groups (`steps:`), filled from the config file only; the options of an entry become flags
  /// "--LABEL.OPTION". `field` may hold defaults already. At most one per command.
  void list(std::string_view name, std::vector<NamedGroup>& field, const GroupRegistry& registry,
            std::string_view help);

  const std::vector<Option>& options() const { return options_; }

 private:
  friend class OptionSet;
  Option& add(std::string_view name, bool& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, int& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::int64_t& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::uint64_t& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, double& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::string& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, ByteSize& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::vector<std::string>& field, std::string_view help, PathKind kind);
  Option& add(std::string_view name, std::vector<double>& field, std::string_view help, PathKind kind);
  Option& push(std::string_view name, std::string_view help, const char* type, PathKind kind);

  std::string prefix_;
  std::vector<Option> options_;
  std::string list_name_, list_help_;
  std::vector<NamedGroup>* list_ = nullptr;
  const GroupRegistry* registry_ = nullptr;
};

/// The options of one command, ready to be filled. The struct must outlive this object.
class OptionSet {
 public:
  template <class O>
  explicit OptionSet(O& options) : visit_([&options](OptionVisitor& v) { options.visit(v); }) {
    collect();
  }
  /// Reads a YAML text; errors and relative paths refer to `file`. Throws UsageError with file:line, the key and a
  /// suggestion.
  void read_yaml(const std::string& text, const std::string& file);
  /// Reads the words after the command. `extra` are further options (the program's own). Throws UsageError.
  void read_words(const std::vector<std::string>& words);
  /// Throws UsageError naming the first required option that nothing set.
  void check_required() const;
  /// All options as a YAML text that read_yaml reads back; paths are absolute.
  std::string to_yaml() const;
  /// "  --learning-rate NUMBER   peak rate ... [0.0002]" lines.
  std::string help() const;
  /// The option called `name` (with '_'), or nullptr.
  const Option* find(std::string_view name) const;
  const std::vector<Option>& options() const { return visitor_.options_; }

 private:
  void collect();
  Option& option_or_throw(const std::string& name, const std::string& where);

  std::function<void(OptionVisitor&)> visit_;
  OptionVisitor visitor_;
};

}  // namespace base
