// `curate duplicates`: the verified near-duplicates of an input, nothing else. Tested by tests/curate/commands_test.cc.
#include "curate/duplicates.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "curate/dedup/byte_store.h"
#include "curate/dedup/duplicate_search.h"
#include "curate/dedup/preference.h"
#include "curate/records/field_reader.h"
#include "curate/records/record.h"
#include "curate/stages/memory.h"
#include "curate/text/lines.h"

namespace curate {

void DuplicatesOptions::visit(base::OptionVisitor& v) {
  reading.visit(v);
  v("memory", memory, kMemoryHelp);
  deduplicate.visit(v);
}

namespace {

// What one block of the input leaves behind.
struct BlockPrints {
  std::vector<Fingerprint> prints;  // `place` counts from the beginning of `entries`
  std::string entries;              // of each document: the length of its id, the id, its shingles
  std::uint64_t bytes = 0, refused = 0, repeated_keys = 0;
  base::InputTally files;
  Unranked unranked;
};

struct Worker {
  explicit Worker(const Deduplicate& options) : fingerprinter(options) {}
  RecordParser parser;
  Fingerprinter fingerprinter;
};

void append_raw(std::string& out, const void* data, std::size_t size) {
  out.append(static_cast<const char*>(data), size);
}

BlockPrints read_block(DocumentBlock documents, const std::vector<std::string>& names, const Deduplicate& options,
                       Worker& worker) {
  BlockPrints result;
  base::decode_block(documents.block, documents.bad);
  result.bytes = documents.block.bytes.size();
  if (options.near) result.entries.reserve(result.bytes * 3 / 2);
  auto refuse = [&](const auto&...) { ++result.refused; };
  auto use = [&](Record& record, const base::Place& place) {
    result.repeated_keys += record.repeated_keys;
    std::string made;
    if (record.id.empty()) record.id = made = made_id(names[place.file], place);
    Fingerprint print = worker.fingerprinter.fingerprint(record.text, record.id);
    const std::uint64_t characters = options.keep == "longest" ? count_code_points(record.text) : 0;
    const Preference preference = preference_of(options, {characters, std::nan(""), record.date, record.source});
    print.preference = preference.rank;
    result.unranked.count(preference, record.id);
    print.place = result.entries.size();
    const std::uint64_t id_size = record.id.size();
    append_raw(result.entries, &id_size, sizeof id_size);
    result.entries += record.id;
    auto shingles = worker.fingerprinter.last_shingles();
    append_raw(result.entries, shingles.data(), shingles.size_bytes());
    result.prints.push_back(print);
  };
  for_each_document(documents, worker.parser, result.files, use, refuse);
  return result;
}

// All that the documents left, in memory or on disk.
class Gathered {
 public:
  explicit Gathered(std::uint64_t memory)
      : prints_(std::filesystem::temp_directory_path(), memory / 8),
        entries_(std::filesystem::temp_directory_path(), memory / 2) {}
  void add(BlockPrints block) {
    for (Fingerprint& print : block.prints) print.place += entries_.size();
    prints_.append(
        std::string(reinterpret_cast<const char*>(block.prints.data()), block.prints.size() * sizeof(Fingerprint)));
    entries_.append(std::move(block.entries));
  }
  std::uint64_t documents() const { return prints_.size() / sizeof(Fingerprint); }
  void prints(std::uint64_t first, std::span<Fingerprint> some) const {
    prints_.read(first * sizeof(Fingerprint), some.data(), some.size_bytes());
  }
  void shingles(const Fingerprint& print, std::vector<std::uint64_t>& shingles) const {
    shingles.resize(print.shingles);
    entries_.read(print.place + sizeof(std::uint64_t) + id_size(print), shingles.data(),
                  shingles.size() * sizeof(std::uint64_t));
  }
  std::string id(std::uint64_t document) const {
    Fingerprint print;
    prints(document, {&print, 1});
    std::string id(id_size(print), ' ');
    entries_.read(print.place + sizeof(std::uint64_t), id.data(), id.size());
    return id;
  }

 private:
  std::uint64_t id_size(const Fingerprint& print) const {
    std::uint64_t size = 0;
    entries_.read(print.place, &size, sizeof size);
    return size;
  }
  ByteStore prints_, entries_;
};

}  // namespace

int run_duplicates(DuplicatesOptions& options, base::Context& context) {
  options.deduplicate.prepare();
  const Deduplicate& deduplicate = options.deduplicate;
  if (deduplicate.keep == "best_score")
    throw base::UsageError({"there are no scores here", "--keep", "best_score", "another policy", "see curate run"});
  const std::vector<std::string> files = options.reading.files(context);
  const int threads = base::thread_count(options.reading.threads);
  const MemoryBudget memory(options.memory, threads);
  base::RecordOptions record_options = options.reading.records();
  record_options.lazy = true;
  FieldReader reader(files, record_options, options.reading.fields());
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < threads; ++i) workers.push_back(std::make_unique<Worker>(deduplicate));
  Gathered gathered(memory.left_beside_pipeline());
  std::uint64_t refused = 0, repeated_keys = 0, bytes = 0;
  base::InputTally tally;
  Unranked unranked;
  base::ordered_pipeline<DocumentBlock, BlockPrints>(
      threads, [&] { return reader.next(); },
      [&](DocumentBlock documents, int worker) {
        return read_block(std::move(documents), reader.names(), deduplicate,
                          *workers[static_cast<std::size_t>(worker)]);
      },
      [&](BlockPrints result) {
        refused += result.refused;
        repeated_keys += result.repeated_keys;
        bytes += result.bytes;
        tally.add(result.files);
        unranked.add(result.unranked);
        gathered.add(std::move(result));
      },
      memory.blocks_in_flight());

  DuplicateSearch search;
  search.documents = gathered.documents();
  search.threads = threads;
  search.memory = memory.left();
  search.budget = memory.total();
  search.elsewhere = std::max(memory.used(), search.budget - search.memory);
  search.prints = [&](std::uint64_t from, std::span<Fingerprint> some) { gathered.prints(from, some); };
  search.sets = [&](const Fingerprint& print, int, std::vector<std::uint64_t>& set) {
    gathered.shingles(print, set);
    make_set(set);
  };
  std::optional<PairList> pairs;
  if (!deduplicate.pairs.empty()) {
    pairs.emplace(std::filesystem::temp_directory_path(), search.memory / 8);
    search.memory -= search.memory / 8;
  }
  std::uint64_t bounded = 0;
  std::vector<Duplicate> duplicates = find_duplicates(search, deduplicate, pairs ? &*pairs : nullptr, &bounded);
  std::string lines;
  std::uint64_t dropped = 0;
  for (std::uint64_t i = 0; i < duplicates.size(); ++i) {
    if (!duplicates[i].dropped()) continue;
    ++dropped;
    lines = "{\"id\":";
    base::append_json_string(lines, gathered.id(i));
    lines += ",\"duplicate_of\":";
    base::append_json_string(lines, gathered.id(duplicates[i].of));
    lines += ",\"jaccard\":";
    append_json_number(lines, duplicates[i].jaccard);
    lines += "}\n";
    context.out << lines;
  }
  if (pairs) write_pairs(deduplicate.pairs, *pairs, [&](std::uint64_t i) { return gathered.id(i); });
  if (!context.quiet)
    fmt::print(context.err, "{} of {} documents are duplicates ({}); {} could not be read\n",
               base::human_count(dropped), base::human_count(search.documents),
               base::human_bytes(static_cast<double>(bytes)), base::human_count(refused));
  if (!context.quiet && repeated_keys > 0) fmt::print(context.err, "{}\n", base::repeated_keys_note(repeated_keys));
  if (!context.quiet)
    for (const std::string& note : unranked.notes()) fmt::print(context.err, "{}\n", note);
  if (!context.quiet && bounded > 0) fmt::print(context.err, "{}\n", bounded_note(bounded));
  const int status = base::tell_losses(tally.losses(files, options.reading.limit == 0), context);
  return refused > 0 ? 1 : status;
}

}  // namespace curate
