// One rendering: bounds, output, strings and lists that are built. Tested by tests/tokenizer/jinja_test.cc.
#include "tokenizer/jinja/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/error.h"
#include "base/text.h"

namespace tokenizer::jinja {

Engine::Engine(Arena& memory, const std::string& name, const Options& given)
    : arena(memory), options(given), name_(name), stack_(static_cast<const char*>(__builtin_frame_address(0))) {}

void Engine::fail(std::string what, std::string_view value, std::string expected, std::string advice) const {
  throw base::Error({std::move(what), fmt::format("{}:{}", name_, line), base::shortened(value), std::move(expected),
                     std::move(advice)});
}

void Engine::begin_slice(std::uint64_t steps) {
  const std::uint64_t more = std::max(kSlice, steps - slice_);
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  const double seconds = static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  if (begin_ < 0) begin_ = seconds;
  if (more > steps_ || seconds - begin_ > kSeconds) refuse_steps();
  steps_ -= more;
  slice_ += more;
}

void Engine::refuse_steps() const {
  fail("the chat template takes too long", {}, fmt::format("{} steps and {} seconds at most", kSteps, kSeconds),
       "does it loop over something that grows, or call itself without an end?");
}

void Engine::check_stack() const {
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  if (here > stack_ || static_cast<std::size_t>(stack_ - here) > kStackBytes)
    fail("the chat template recurses too deeply", {}, {}, "does a macro call itself without an end?");
}

void Engine::emit(std::string_view text, const Source* source) {
  if (!source) return emit(text);
  if (source->count == 0) return out->append(arena, text, source->tag | generated, owner);
  for_each_run(text, source, [this](std::string_view part, Tag tag, std::int32_t written) {
    out->append(arena, part, tag | generated, written < 0 ? owner : written);
  });
}

void Engine::print(const Value& value) {
  switch (value.type) {
    case Type::kString:
      return emit(value.string(), value.source);
    case Type::kUndefined:
      return;
    default: {
      const Value text = to_string(value);
      emit(text.string(), text.source);
    }
  }
}

Value Engine::copy(std::string_view text, const Source* source, std::uint8_t detail) {
  char* place = arena.array<char>(text.size());
  if (!text.empty()) std::memcpy(place, text.data(), text.size());
  return Value::string_of({place, text.size()}, source, detail);
}

Value Engine::to_string(const Value& value) {
  if (value.is_string()) return value;
  if (value.is_undefined()) return Value::string_of("");
  TextBuilder text(*this);
  append_str(text, value);
  return text.finish();
}

Value Engine::string_of(const Buffer& buffer, std::uint8_t detail) {
  const std::string_view text(buffer.data, buffer.size);
  if (buffer.count == 0) return Value::string_of("", nullptr, detail);
  if (buffer.count == 1) {
    const Run& run = buffer.runs[0];
    if (run.tag == 0 && run.owner < 0) return Value::string_of(text, nullptr, detail);
    // Whose words they are says more than whose turn it was.
    if (run.tag > 1 && (run.tag & 1) == 0) return Value::string_of(text, arena.make<Source>(run.tag), detail);
  }
  Source* source = arena.make<Source>(Source{0, buffer.count, buffer.data, buffer.runs, nullptr});
  return Value::string_of(text, source, detail);
}

Value Engine::concatenate(std::span<const Value> strings) {
  static constexpr std::size_t kGrowing = 256;
  std::size_t rest = 0;
  for (const Value& string : strings.subspan(1)) rest += string.size;
  const Value& first = strings[0];
  if (rest == 0) return first;
  Buffer* buffer = first.source ? first.source->buffer : nullptr;
  // A string that grows piece by piece grows in place: its buffer has room, and nothing stands behind it yet.
  const bool in_place = buffer && first.text == buffer->data && first.size == buffer->size && buffer->has_room(rest);
  Buffer small;
  if (!in_place) {
    const std::size_t total = first.size + rest;
    const bool grows = total >= kGrowing;
    buffer = grows ? arena.make<Buffer>() : &small;
    buffer->grow(arena, grows ? total * 2 : total);
  }
  for (const Value& string : strings.subspan(in_place ? 1 : 0))
    for_each_run(string.string(), string.source, [&](std::string_view part, Tag tag, std::int32_t written) {
      buffer->append(arena, part, tag, written < 0 ? owner : written);
    });
  if (buffer == &small) return string_of(small);
  return Value::string_of({buffer->data, buffer->size},
                          arena.make<Source>(0u, buffer->count, buffer->data, buffer->runs, buffer));
}

Value Engine::concatenate(const Value& left, const Value& right) {
  if (left.size == 0) return right;
  const Value both[] = {left, right};
  return concatenate(both);
}

void TextBuilder::repeat(char c, std::size_t count, const Source* source) {
  if (count > Arena::kLimit) engine_.arena.array<char>(count);  // refuses it
  const std::string text(std::min<std::size_t>(count, 256), c);
  for (; count > 0; count -= std::min(count, text.size()))
    append(std::string_view(text).substr(0, std::min(count, text.size())), source);
}

void ListBuilder::grow() {
  const std::size_t capacity = std::max<std::size_t>(4, capacity_ * 2);
  Value* place = engine_.arena.array<Value>(capacity);
  std::copy(items_, items_ + size_, place);
  items_ = place;
  capacity_ = capacity;
}

Parameters::Parameters(Engine& engine, const char* callee, const Arguments& arguments,
                       std::initializer_list<const char*> names, std::size_t required)
    : engine_(engine), callee_(callee) {
  if (arguments.positional.size() > names.size())
    engine.fail(fmt::format("{} takes {} arguments at most", callee, names.size()),
                std::to_string(arguments.positional.size()));
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const Named& named : arguments.named) {
    const auto found = std::ranges::find(names, named.name, [](const char* name) { return std::string_view(name); });
    if (found == names.end()) engine.fail(fmt::format("{} has no argument of this name", callee), named.name);
    const auto index = static_cast<std::size_t>(found - names.begin());
    if (values_[index]) engine.fail(fmt::format("{} is given an argument twice", callee), named.name);
    values_[index] = &named.value;
  }
  for (std::size_t i = 0; i < required; ++i)
    if (!values_[i]) engine.fail(fmt::format("{} lacks its argument {}", callee, *(names.begin() + i)));
}

std::int64_t Parameters::integer(std::size_t index, std::int64_t fallback) const {
  if (!values_[index]) return fallback;
  if (!values_[index]->is_integer())
    engine_.fail(fmt::format("{} needs an integer", callee_), type_name(*values_[index]));
  return values_[index]->as_integer();
}

std::string_view Parameters::string(std::size_t index, std::string_view fallback) const {
  if (!values_[index]) return fallback;
  if (!values_[index]->is_string()) engine_.fail(fmt::format("{} needs a string", callee_), type_name(*values_[index]));
  return values_[index]->string();
}

}  // namespace tokenizer::jinja
