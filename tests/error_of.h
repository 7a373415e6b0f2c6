// The message of the base::Error that `f` throws.
#pragma once

#include <string>

#include "base/error.h"

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}
