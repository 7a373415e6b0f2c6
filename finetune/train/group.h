// The processes that train one adapter together.
#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace finetune {

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;  ///< of this process, 0 to size - 1
  virtual int size() const = 0;
  /// `tensor` becomes, in place, its sum over the processes; the same numbers in each. Throws base::Error when another
  /// process has ended.
  virtual void all_reduce(const at::Tensor& tensor) const = 0;
  /// Whether it is true in any process.
  bool any(bool own) const;
  /// The texts of all processes, by rank; the same in each.
  std::vector<std::string> gather(const std::string& own) const;
  /// The one that writes.
  bool is_first() const { return rank() == 0; }
};

class OneProcess final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce(const at::Tensor&) const override {}
};

/// What torchrun says to each process that it starts.
struct GroupPlace {
  std::int64_t rank = 0, size = 1, local_rank = 0, local_size = 1;
  std::string address;
  std::int64_t port = 0;
  bool has_store = false;  ///< the starting program keeps the store at that port; else rank 0 does
  std::string attempt;     ///< of a program that starts processes again
  std::chrono::milliseconds to_come = std::chrono::minutes(5);  ///< how long the others are waited for
};

/// Value of an environment variable, null: not set.
using Environment = std::function<const char*(const char*)>;

/// Out of RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Nothing where neither of the
/// first two is set. Throws base::UsageError for the one that is missing or malformed.
std::optional<GroupPlace> place_of(const Environment& environment);

/// Waits until every process is there: c10d's Gloo group, which sums what lies on GPUs through NCCL where every process
/// has it and a GPU of its own, else by way of the processors; that is said by `note`. Throws base::Error when they do
/// not come.
std::unique_ptr<const Group> make_group(const std::optional<GroupPlace>& place,
                                        const std::function<void(const std::string&)>& note);

}  // namespace finetune
