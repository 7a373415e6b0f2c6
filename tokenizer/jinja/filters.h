// The filters, by what they work on.
#pragma once

#include <span>

#include "tokenizer/jinja/engine.h"

namespace tokenizer::jinja {

std::span<const FilterFunction> text_filters();
std::span<const FilterFunction> markup_filters();
std::span<const FilterFunction> number_filters();
std::span<const FilterFunction> sequence_filters();
std::span<const FilterFunction> selecting_filters();

/// A copy of arguments that outlives the call.
Arguments kept(Engine& engine, const Arguments& arguments);
/// What `filter` gives can be iterated over, and is made when it is: as a generator in Python, errors come no sooner.
Value deferred(Engine& engine, Value (*filter)(Engine&, const Value&, const Arguments&), const Value& input,
               const Arguments& arguments);
/// Of a string in lower case, unless `case_sensitive`.
Value folded(Engine& engine, const Value& value, bool case_sensitive);

}  // namespace tokenizer::jinja
