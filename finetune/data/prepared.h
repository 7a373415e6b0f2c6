// Prepared examples as bytes: what is written to a cache and mapped from it again, and what lies in memory without one.
//   8 bytes   kMagic
//   examples  each: ids (int32), trained (bytes), zeros up to a multiple of 4
//   entries   one an example: where it lies, how long it is, where it came from
//   report    a text of the writer's
//   trailer   where entries and report lie, the key, and XXH3 of all bytes before it
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "finetune/data/example.h"

namespace finetune {

/// Names what a file of prepared examples was made of: equal for what gives equal examples.
struct DataKey {
  std::uint64_t low = 0, high = 0;
  std::string text() const;  ///< 32 hexadecimal digits
  friend bool operator==(const DataKey&, const DataKey&) = default;
};
/// Of a text that names everything.
DataKey key_of(std::string_view text);

/// Prepared examples, in the order in which they were written. Thread-safe.
class PreparedData {
 public:
  /// `bytes` live as long as `owner`. Throws base::Error, saying why, when they are not whole, or not those of `key`.
  PreparedData(std::span<const std::byte> bytes, const DataKey& key, std::shared_ptr<const void> owner);
  ~PreparedData();
  /// A mapped file, of which no page stays in memory that is not read again.
  static std::shared_ptr<const PreparedData> map(const std::filesystem::path& file, const DataKey& key);

  std::size_t size() const;
  ExampleView operator[](std::size_t i) const;
  std::size_t length(std::size_t i) const;  ///< of operator[](i).ids, without a look at them
  std::string_view report() const;

 private:
  struct Entry;
  friend class PreparedWriter;
  const std::byte* begin_;
  std::span<const Entry> entries_;
  std::string_view report_;
  std::shared_ptr<const void> owner_;
};

/// Writes them. `put` gets the bytes in order.
class PreparedWriter {
 public:
  using Put = std::function<void(const void* data, std::size_t size)>;
  explicit PreparedWriter(Put put);
  ~PreparedWriter();
  void add(const Example& example, const Origin& origin);
  /// Once, at the end.
  void finish(std::string_view report, const DataKey& key);

 private:
  void put(const void* data, std::size_t size);
  void pad(std::size_t unit);
  Put put_;
  struct Hash;
  std::unique_ptr<Hash> hash_;
  std::uint64_t position_ = 0;
  std::vector<PreparedData::Entry> entries_;
};

/// Prepared data that stay in memory.
class MemoryWriter {
 public:
  MemoryWriter();
  PreparedWriter& writer() { return writer_; }
  std::shared_ptr<const PreparedData> finish(std::string_view report);

 private:
  std::shared_ptr<std::vector<std::byte>> bytes_;
  PreparedWriter writer_;
};

}  // namespace finetune
