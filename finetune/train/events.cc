// TensorBoard event files, written by hand: TFRecord frames around protobuf messages. Tested by
// tests/finetune/events_test.cc.
#include "finetune/train/events.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"

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

constexpr const char* kPrefix = "events.out.tfevents.";
constexpr const char* kOurs = ".hornbook.";

// Ours, oldest first.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name.find(kOurs) != std::string::npos) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

struct ReadEvent {
  std::int64_t step = 0;
  bool has_scalars = false;
};

// Of a whole event of ours.
ReadEvent read_event(std::string_view bytes) {
  ReadEvent result;
  const auto take_varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; !bytes.empty() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) break;
    }
    return value;
  };
  while (!bytes.empty()) {
    const std::uint64_t key = take_varint(), number = key >> 3, type = key & 7;
    std::uint64_t skipped = 0;
    if (type == 0) {
      const std::uint64_t value = take_varint();
      if (number == 2) result.step = static_cast<std::int64_t>(value);
    } else {
      skipped = type == 1 ? 8 : type == 5 ? 4 : take_varint();
    }
    result.has_scalars |= number == 5;
    bytes.remove_prefix(std::min<std::uint64_t>(skipped, bytes.size()));
  }
  return result;
}

// The events of a file that have scalars, up to one that is cut off or damaged, as by a kill.
std::vector<std::string> scalars_in(std::string_view file) {
  std::vector<std::string> events;
  constexpr std::size_t kHead = 12, kTail = 4;
  const auto read = [](std::string_view bytes, auto value) {
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  };
  while (file.size() >= kHead + kTail) {
    const auto length = read(file, std::uint64_t{0});
    if (masked_crc32c(file.substr(0, 8)) != read(file.substr(8), std::uint32_t{0})) break;
    if (length > file.size() - kHead - kTail) break;
    const std::string_view body = file.substr(kHead, length);
    if (masked_crc32c(body) != read(file.substr(kHead + length), std::uint32_t{0})) break;
    if (read_event(body).has_scalars) events.emplace_back(body);
    file.remove_prefix(kHead + length + kTail);
  }
  return events;
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

EventWriter::EventWriter(const std::filesystem::path& folder, double wall_time,
                         std::optional<std::int64_t> kept_steps) {
  std::filesystem::create_directories(folder);
  const std::vector<std::filesystem::path> earlier = files_in(folder);
  path_ = folder / fmt::format("{}{:010d}{}{}", kPrefix, static_cast<long>(wall_time), kOurs, ::getpid());
  // Written aside: a kill leaves either file whole.
  const std::filesystem::path part = folder / ".events.part";
  file_.open(part, std::ios::binary | std::ios::trunc);
  record(event(wall_time, 0) + bytes_field(3, "brain.Event:2"));
  if (kept_steps && !earlier.empty()) {
    restart(wall_time);
    for (const std::string& kept : scalars_in(base::read_file(earlier.back())))
      if (read_event(kept).step <= *kept_steps) record(kept);
  }
  std::filesystem::rename(part, path_);
  for (const std::filesystem::path& file : earlier)
    if (file != path_) std::filesystem::remove(file);
}

void EventWriter::scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values,
                          double wall_time) {
  std::string summary;  // Summary.value = 1: {tag = 1, simple_value = 2}
  for (const auto& [tag, value] : values) {
    summary += bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value)));
  }
  record(event(wall_time, step) + bytes_field(5, summary));
}

// A TensorBoard that has read the earlier file forgets it.
void EventWriter::restart(double wall_time) {
  constexpr std::int64_t kStart = 1;  // SessionLog.status
  record(event(wall_time, 0) + bytes_field(7, integer_field(1, kStart)));
}

void EventWriter::record(const std::string& event) {
  const std::string length = little_endian(static_cast<std::uint64_t>(event.size()));
  file_ << length << little_endian(masked_crc32c(length)) << event << little_endian(masked_crc32c(event));
  if (!file_.flush())
    throw base::Error({"cannot write the TensorBoard events", path_.string(), "", "",
                       "is the disk full? --resume goes on from the last checkpoint"});
}

}  // namespace finetune
