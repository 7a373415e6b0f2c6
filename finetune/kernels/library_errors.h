// What LibTorch throws.
#pragma once

#include <exception>
#include <optional>

#include "base/error.h"

namespace finetune {

/// Whether an operation failed for want of memory, on the processor or a GPU.
bool is_out_of_memory(const std::exception& error);

/// The same, and any other error of LibTorch, in words for people and without the addresses of its functions; nothing
/// for what is not its. See base::Program::explain.
std::optional<base::Error> explain(const std::exception& error);

}  // namespace finetune
