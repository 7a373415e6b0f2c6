#include "curate/spill.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace curate {
namespace {

constexpr std::uint64_t kNotEdited = ~std::uint64_t{0};
using Lengths = std::array<std::uint64_t, 5>;  // record, id, source, members, text

}  // namespace

std::uint64_t append_entry(std::string& bytes, const SpillEntry& entry) {
  const std::uint64_t offset = bytes.size();
  Lengths lengths = {entry.record.size(), entry.id.size(), entry.source.size(), entry.members.size(),
                     entry.edited ? entry.text.size() : kNotEdited};
  bytes.append(reinterpret_cast<const char*>(lengths.data()), sizeof lengths);
  for (std::string_view part : {entry.record, entry.id, entry.source, entry.members}) bytes += part;
  if (entry.edited) bytes += entry.text;
  return offset;
}

std::string spill_block(std::uint64_t entries, const std::string& bytes) {
  const std::uint64_t header[2] = {entries, bytes.size()};
  static_assert(sizeof header == kSpillHeader);
  std::string block(reinterpret_cast<const char*>(header), sizeof header);
  block += bytes;
  return block;
}

SpillReader::SpillReader(const std::filesystem::path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) throw base::Error(std::string("cannot open: ") + std::strerror(errno), path.string());
  const std::uint64_t size = std::filesystem::file_size(path);
  for (std::uint64_t place = 0; place < size;) {
    std::uint64_t header[2] = {};
    const bool whole = size - place >= sizeof header;
    if (whole) read_at(place, sizeof header, reinterpret_cast<char*>(header));
    place += sizeof header;
    if (!whole || size - place < header[1]) {
      ::close(descriptor_);
      throw base::Error("the intermediate file is cut off", path.string());
    }
    blocks_.push_back({place, header[1], header[0], documents_});
    documents_ += header[0];
    place += header[1];
  }
}

SpillReader::~SpillReader() { ::close(descriptor_); }

void SpillReader::read_at(std::uint64_t place, std::uint64_t size, char* data) const {
  while (size > 0) {
    ssize_t got = ::pread(descriptor_, data, size, static_cast<off_t>(place));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw base::Error(got < 0 ? std::string("cannot read: ") + std::strerror(errno)
                                : std::string("the intermediate file is cut off"),
                        path_.string());
    data += got;
    place += static_cast<std::uint64_t>(got);
    size -= static_cast<std::uint64_t>(got);
  }
}

void SpillReader::read(const Block& block, Buffer& buffer) const {
  buffer.bytes.reserve(block.bytes + 64);
  buffer.bytes.resize(block.bytes);
  buffer.next = 0;
  read_at(block.place, block.bytes, buffer.bytes.data());
}

SpillEntry SpillReader::next(Buffer& buffer) const {
  auto take = [&](std::uint64_t length) {
    if (buffer.next > buffer.bytes.size() || buffer.bytes.size() - buffer.next < length)
      throw base::Error("the intermediate file is damaged", path_.string());
    std::string_view view(buffer.bytes.data() + buffer.next, length);
    buffer.next += length;
    return view;
  };
  Lengths lengths;
  std::memcpy(lengths.data(), take(sizeof lengths).data(), sizeof lengths);
  SpillEntry entry;
  entry.record = take(lengths[0]);
  entry.id = take(lengths[1]);
  entry.source = take(lengths[2]);
  entry.members = take(lengths[3]);
  entry.edited = lengths[4] != kNotEdited;
  if (entry.edited) entry.text = take(lengths[4]);
  return entry;
}

SpillEntry SpillReader::entry(std::uint64_t place, Buffer& buffer) const {
  Lengths lengths;
  read_at(place, sizeof lengths, reinterpret_cast<char*>(lengths.data()));
  std::uint64_t size = sizeof lengths;
  for (std::uint64_t length : lengths) size += length == kNotEdited ? 0 : length;
  read({place, size, 1, 0}, buffer);
  return next(buffer);
}

}  // namespace curate
