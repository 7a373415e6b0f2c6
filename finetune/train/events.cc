// TensorBoard event files, written by hand: TFRecord frames around protobuf messages. Tested by
// tests/finetune/events_test.cc.
#include "finetune/train/events.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace finetune {
namespace {

template <class T>
std::string little_endian(T value) {
  static_assert(std::endian::native == std::endian::little);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// Protobuf: a field is a varint (number << 3 | wire type), then its value. Wire types: 0 varint, 1 eight bytes,
// 2 a length and bytes, 5 four bytes.
std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}
std::string integer_field(int number, std::int64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(static_cast<std::uint64_t>(value));
}
std::string double_field(int number, double value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 1) + little_endian(value);
}
std::string bytes_field(int number, const std::string& value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(value.size()) + value;
}
std::string float_field(int number, float value) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 5) + little_endian(value);
}

// tensorflow/core/util/event.proto: wall_time = 1, step = 2 (left out when 0), then what happened.
std::string event(double wall_time, std::int64_t step) {
  return double_field(1, wall_time) + (step == 0 ? "" : integer_field(2, step));
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1 ? 0x82F63B78u : 0);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = ~0u;
  for (unsigned char byte : bytes) crc = kTable[(crc ^ byte) & 255] ^ (crc >> 8);
  return ~crc;
}

std::uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u; }

EventWriter::EventWriter(const std::filesystem::path& folder, double wall_time) {
  std::filesystem::create_directories(folder);
  path_ = folder / fmt::format("events.out.tfevents.{:010d}.hornbook.{}", static_cast<long>(wall_time), ::getpid());
  file_.open(path_, std::ios::binary);
  record(event(wall_time, 0) + bytes_field(3, "brain.Event:2"));
}

void EventWriter::scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values,
                          double wall_time) {
  std::string summary;  // Summary.value = 1: {tag = 1, simple_value = 2}
  for (const auto& [tag, value] : values) {
    summary += bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
  }
  record(event(wall_time, step) + bytes_field(5, summary));
}

void EventWriter::restart(std::int64_t step, double wall_time) {
  constexpr std::int64_t kStart = 1;  // SessionLog.status
  record(event(wall_time, step) + bytes_field(7, integer_field(1, kStart)));
}

void EventWriter::record(const std::string& event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  file_ << length << little_endian(masked_crc32c(length)) << event << little_endian(masked_crc32c(event));
  if (!file_.flush()) throw base::Error("cannot write the TensorBoard events", path_.string());
}

}  // namespace finetune
