// Prepared examples as bytes. Tested by tests/finetune/data_cache_test.cc.
#include "finetune/data/prepared.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/resident.h"

namespace finetune {

struct PreparedData::Entry {
  std::uint64_t offset = 0, line = 0;
  std::uint32_t length = 0, second = 0, trained = 0, file = 0, piece = 0, record = 0;
};

namespace {

constexpr std::uint64_t kMagic = 0x3130617461646268;  // "hbdata01", in the byte order of the machine

struct Trailer {
  std::uint64_t entries_at = 0, entries = 0, report_at = 0, report_size = 0;
  DataKey key;
  std::uint64_t hash = 0, magic = kMagic;
};

[[noreturn]] void refuse(const std::string& why) { throw base::Error(why); }

// Checked in an order in which nothing is read that is not there.
Trailer checked_trailer(std::span<const std::byte> bytes, const DataKey& key, std::size_t entry_size) {
  Trailer trailer;
  std::uint64_t magic = 0;
  if (bytes.size() < sizeof magic + sizeof trailer) refuse("it is cut off");
  const std::size_t end = bytes.size() - sizeof trailer;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  std::memcpy(&trailer, bytes.data() + end, sizeof trailer);
  if (magic != kMagic) refuse("it holds something else");
  if (trailer.magic != kMagic) refuse("it is cut off");
  if (XXH3_64bits(bytes.data(), end) != trailer.hash) refuse("its bytes have changed");
  if (!(trailer.key == key)) refuse("it was made of other data");
  const std::uint64_t entries_end = trailer.entries_at + trailer.entries * entry_size;
  if (trailer.report_at != entries_end || entries_end + trailer.report_size > end) refuse("it contradicts itself");
  return trailer;
}

}  // namespace

std::string DataKey::text() const { return fmt::format("{:016x}{:016x}", high, low); }

DataKey key_of(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return {hash.low64, hash.high64};
}

PreparedData::PreparedData(std::span<const std::byte> bytes, const DataKey& key, std::shared_ptr<const void> owner)
    : begin_(bytes.data()), owner_(std::move(owner)) {
  const Trailer trailer = checked_trailer(bytes, key, sizeof(Entry));
  entries_ = {reinterpret_cast<const Entry*>(begin_ + trailer.entries_at), trailer.entries};
  report_ = {reinterpret_cast<const char*>(begin_ + trailer.report_at), trailer.report_size};
}

PreparedData::~PreparedData() = default;

std::shared_ptr<const PreparedData> PreparedData::map(const std::filesystem::path& file, const DataKey& key) {
  auto mapped = std::make_shared<const base::MappedFile>(file);
  auto data = std::make_shared<const PreparedData>(mapped->bytes(), key, mapped);
  base::give_back(mapped->bytes());
  return data;
}

std::size_t PreparedData::size() const { return entries_.size(); }

std::size_t PreparedData::length(std::size_t i) const { return entries_[i].length; }

std::string_view PreparedData::report() const { return report_; }

ExampleView PreparedData::operator[](std::size_t i) const {
  const Entry& entry = entries_[i];
  const auto* ids = reinterpret_cast<const std::int32_t*>(begin_ + entry.offset);
  const auto* trained = reinterpret_cast<const std::uint8_t*>(ids + entry.length);
  return {{ids, entry.length},
          {trained, entry.length},
          entry.second,
          entry.trained,
          {entry.file, entry.line, entry.piece, entry.record}};
}

struct PreparedWriter::Hash {
  Hash() : state(XXH3_createState(), XXH3_freeState) { XXH3_64bits_reset(state.get()); }
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state;
};

PreparedWriter::PreparedWriter(Put put) : put_(std::move(put)), hash_(std::make_unique<Hash>()) {
  this->put(&kMagic, sizeof kMagic);
}

PreparedWriter::~PreparedWriter() = default;

void PreparedWriter::put(const void* data, std::size_t size) {
  XXH3_64bits_update(hash_->state.get(), data, size);
  put_(data, size);
  position_ += size;
}

void PreparedWriter::pad(std::size_t unit) {
  constexpr char kZeros[8] = {};
  put(kZeros, (unit - position_ % unit) % unit);
}

void PreparedWriter::add(const Example& example, const Origin& origin) {
  const auto number = [](auto value) { return static_cast<std::uint32_t>(value); };
  entries_.push_back({position_, origin.line, number(example.ids.size()), number(example.second),
                      number(example.targets()), origin.file, origin.piece, origin.record});
  put(example.ids.data(), example.ids.size() * sizeof example.ids[0]);
  put(example.trained.data(), example.trained.size());
  pad(sizeof example.ids[0]);
}

void PreparedWriter::finish(std::string_view report, const DataKey& key) {
  pad(sizeof(std::uint64_t));
  Trailer trailer{position_, entries_.size(), 0, report.size(), key};
  put(entries_.data(), entries_.size() * sizeof(PreparedData::Entry));
  trailer.report_at = position_;
  put(report.data(), report.size());
  pad(sizeof(std::uint64_t));
  trailer.hash = XXH3_64bits_digest(hash_->state.get());
  put_(&trailer, sizeof trailer);
}

MemoryWriter::MemoryWriter()
    : bytes_(std::make_shared<std::vector<std::byte>>()), writer_([bytes = bytes_](const void* data, std::size_t size) {
        const auto* first = static_cast<const std::byte*>(data);
        bytes->insert(bytes->end(), first, first + size);
      }) {}

std::shared_ptr<const PreparedData> MemoryWriter::finish(std::string_view report) {
  writer_.finish(report, {});
  return std::make_shared<const PreparedData>(*bytes_, DataKey{}, bytes_);
}

}  // namespace finetune
