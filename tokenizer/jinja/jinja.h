// Jinja chat templates: compiled once, rendered many times, and every character of the output knows where it came from.
//
// The language is Jinja2's as transformers sets it up for chat templates: an immutable sandbox, trim_blocks and
// lstrip_blocks, break and continue, {% generation %}, its own tojson. A template is untrusted input: parsing and
// rendering are bounded in steps, depth and memory. What Jinja2 has and a template of a chat cannot need is refused by
// name (include, import, extends, autoescape, random, urlize ...).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tokenizer::jinja {

using Json = nlohmann::ordered_json;  // tojson prints members in their order

/// What a variable of the template is, which decides what its text counts as in the output.
enum class Role {
  kSetting,   ///< bos_token, add_generation_prompt ...: as if written in the template
  kData,      ///< tools, documents: data that belong to no message
  kMessages,  ///< the list of messages: its strings are data of the message that holds them
};
/// A member of a message: its text or, of any other kind, its JSON.
struct GivenMember {
  std::string_view name, value;
  bool is_json = false;
};
using GivenMessage = std::span<const GivenMember>;
struct Variable {
  std::string_view name;
  const Json* value = nullptr;
  Role role = Role::kSetting;
  std::span<const GivenMessage> messages = {};  ///< of kMessages, instead of `value`
  std::string_view json = {};                   ///< the same, of any role
};

/// Neighbouring characters of the output of one kind. The spans of a text are sorted and disjoint, and cover it wholly.
///
/// `owner` tells which message the text is about: the template wrote it while it looped over the messages (or over a
/// slice, a selection, a reordering of them, or over their indices), so headers and end tokens of a turn have the index
/// of the turn. `origin` tells whose words these are: the text stood in that message, however it was cut, joined,
/// trimmed, put into JSON or carried through variables and macros since.
struct Span {
  static constexpr std::int32_t kNone = -1;
  std::size_t begin = 0, end = 0;  ///< bytes of the text
  std::int32_t owner = kNone;      ///< index of the message whose turn of the loop over messages wrote it
  std::int32_t origin = kNone;     ///< index of the message that it stood in
  /// Of data: the member of the message ("content", "role", "tool_calls" ...) or, with no origin, the variable
  /// ("tools"). An index into Rendered::members.
  std::int32_t member = kNone;
  bool data = false;       ///< text of the conversation, its tools or documents; false: the template's own
  bool generated = false;  ///< within {% generation %}
  bool operator==(const Span&) const = default;
};

struct Rendered {
  static constexpr std::int32_t kRole = 0, kContent = 1;  ///< these members are always there, also of no message
  std::string text;
  std::vector<Span> spans;
  std::vector<std::string> members;
};

struct Options {
  /// What strftime_now() tells, as local time; the clock's time when empty.
  std::optional<std::chrono::system_clock::time_point> now = {};
};

class Program;

/// Compiled once; rendering is const and may run in several threads at a time.
class Template {
 public:
  /// Throws base::Error that says what is wrong in which line. `name` stands for the template in all messages.
  explicit Template(std::string text, std::string name = "chat template");
  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

  /// Throws base::Error for all that Jinja2 would raise, for what raise_exception() says, and beyond the bounds.
  /// A variable that is not given is undefined, as in Jinja2.
  Rendered render(const std::vector<Variable>& variables, const Options& options = {}) const;
  /// The same into `rendered`, whose memory is used again.
  void render(const std::vector<Variable>& variables, const Options& options, Rendered& rendered) const;

  /// Does the template mark what the model writes ({% generation %})?
  bool marks_generation() const;
  /// Is there a variable of this name that the template reads?
  bool reads(std::string_view variable) const;

 private:
  std::unique_ptr<const Program> program_;
};

}  // namespace tokenizer::jinja
