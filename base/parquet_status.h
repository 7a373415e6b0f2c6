// Inside base/parquet*.cc: Arrow's statuses as base::Error.
#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <utility>

#include "base/error.h"

namespace base {

inline void check_arrow(const arrow::Status& status) {
  if (!status.ok()) throw Error(status.message());
}

template <class T>
T checked_arrow(arrow::Result<T> result) {
  check_arrow(result.status());
  return std::move(result).ValueUnsafe();
}

}  // namespace base
