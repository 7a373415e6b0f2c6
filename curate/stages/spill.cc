// Survivors of a stage on disk, until the settle stage knows which of them are duplicates. Tested by
// tests/curate/run_test.cc.
#include "curate/stages/spill.h"

#include <array>
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
  bytes.append(reinterpret_cast<const char*>(&entry.fields), sizeof entry.fields);
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

SpillReader::SpillReader(const std::filesystem::path& path) : file_(path) {
  for (std::uint64_t place = 0; place < file_.size();) {
    std::uint64_t header[2] = {};
    const bool whole = file_.size() - place >= sizeof header;
    if (whole) file_.read(place, header, sizeof header);
    place += sizeof header;
    if (!whole || file_.size() - place < header[1])
      throw base::Error("the intermediate file is cut off", path.string());
    blocks_.push_back({place, header[1], header[0], documents_});
    documents_ += header[0];
    place += header[1];
  }
}

void SpillReader::read(const Block& block, Buffer& buffer) const {
  buffer.bytes.reserve(block.bytes + 64);
  buffer.bytes.resize(block.bytes);
  buffer.next = 0;
  file_.read(block.place, buffer.bytes.data(), block.bytes);
}

SpillEntry SpillReader::next(Buffer& buffer) const {
  auto take = [&](std::uint64_t length) {
    if (buffer.next > buffer.bytes.size() || buffer.bytes.size() - buffer.next < length)
      throw base::Error("the intermediate file is damaged", file_.path().string());
    std::string_view view(buffer.bytes.data() + buffer.next, length);
    buffer.next += length;
    return view;
  };
  Lengths lengths;
  std::memcpy(lengths.data(), take(sizeof lengths).data(), sizeof lengths);
  SpillEntry entry;
  std::memcpy(&entry.fields, take(sizeof entry.fields).data(), sizeof entry.fields);
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
  file_.read(place, lengths.data(), sizeof lengths);
  std::uint64_t size = sizeof lengths + sizeof SpillEntry::fields;
  for (std::uint64_t length : lengths) size += length == kNotEdited ? 0 : length;
  read({place, size, 1, 0}, buffer);
  return next(buffer);
}

}  // namespace curate
