#include "curate/duplicates.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "curate/record.h"

namespace curate {

void DuplicatesOptions::visit(base::OptionVisitor& v) {
  reading.visit(v);
  deduplicate.visit(v);
}

namespace {

// What one block of the input leaves in memory.
struct BlockPrints {
  std::vector<Fingerprint> prints;  // `place` counts shingles from the beginning of the block
  std::vector<std::uint64_t> shingles;
  std::string ids;
  std::vector<std::uint32_t> id_ends;
  std::uint64_t bytes = 0, bad = 0;
};

struct Worker {
  explicit Worker(const Deduplicate& options) : fingerprinter(options) {}
  RecordParser parser;
  Fingerprinter fingerprinter;
};

BlockPrints read_block(base::Block block, const FieldNames& fields, const std::vector<std::string>& files,
                       const Deduplicate& options, Worker& worker) {
  BlockPrints result;
  std::vector<base::BadBytes> bad;
  base::decode_block(block, bad);
  result.bad = bad.size();
  block.bytes.reserve(block.bytes.size() + 64);  // the parser may read behind the last line
  const char* end = block.bytes.data() + block.bytes.capacity();
  result.bytes = block.bytes.size();
  result.shingles.reserve(block.bytes.size() / 6);
  base::for_each_line(block, [&](std::string_view line, const base::Place& place) {
    Record record;
    std::string error =
        worker.parser.parse(line, static_cast<std::size_t>(end - (line.data() + line.size())), fields, record);
    if (!error.empty()) {
      ++result.bad;
      return;
    }
    std::string made;
    if (record.id.empty())
      record.id = made = fmt::format("{}:{}", std::filesystem::path(files[place.file]).filename().string(), place.line);
    Fingerprint print = worker.fingerprinter.fingerprint(record.text, record.id);
    std::uint64_t characters = 0;
    if (options.keep == "longest")
      for (char c : record.text) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    print.preference = preference_of(options, characters, std::nan(""), record.date, record.source);
    print.place = result.shingles.size();
    auto shingles = worker.fingerprinter.last_shingles();
    result.shingles.insert(result.shingles.end(), shingles.begin(), shingles.end());
    result.prints.push_back(print);
    result.ids += record.id;
    result.id_ends.push_back(static_cast<std::uint32_t>(result.ids.size()));
  });
  return result;
}

}  // namespace

int run_duplicates(DuplicatesOptions& options, base::Context& context) {
  const Deduplicate& deduplicate = options.deduplicate;
  options.deduplicate.prepare();
  if (deduplicate.keep == "best_score")
    throw base::UsageError({"there are no scores here", "--keep", "best_score", "another policy", "see curate run"});
  const std::vector<std::string> files = options.reading.files();
  const int threads = base::thread_count(options.reading.threads);
  base::RecordOptions record_options = options.reading.records();
  record_options.lazy = true;
  base::BlockReader reader(files, record_options);
  std::vector<base::BadBytes> bad;
  FieldNames fields = options.reading.fields();
  std::optional<base::Block> first = reader.next(bad);
  if (first) fields = detect_fields(*first, fields);

  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < threads; ++i) workers.push_back(std::make_unique<Worker>(deduplicate));
  std::vector<BlockPrints> blocks;
  std::vector<Fingerprint> prints;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> where;  // document -> block, number in it
  std::uint64_t unreadable = 0, bytes = 0;
  base::ordered_pipeline<base::Block, BlockPrints>(
      threads,
      [&]() -> std::optional<base::Block> {
        if (!first) return std::nullopt;
        base::Block block = std::move(*first);
        first = reader.next(bad);
        return block;
      },
      [&](base::Block block, int worker) {
        return read_block(std::move(block), fields, files, deduplicate, *workers[static_cast<std::size_t>(worker)]);
      },
      [&](BlockPrints result) {
        for (std::uint32_t i = 0; i < result.prints.size(); ++i)
          where.emplace_back(static_cast<std::uint32_t>(blocks.size()), i);
        prints.insert(prints.end(), result.prints.begin(), result.prints.end());
        unreadable += result.bad;
        bytes += result.bytes;
        std::vector<Fingerprint>().swap(result.prints);
        blocks.push_back(std::move(result));
      });

  auto id_of = [&](std::uint64_t document) {
    auto [block, i] = where[document];
    std::uint32_t begin = i == 0 ? 0 : blocks[block].id_ends[i - 1];
    return std::string_view(blocks[block].ids).substr(begin, blocks[block].id_ends[i] - begin);
  };
  std::vector<DuplicatePair> pairs;
  std::vector<Duplicate> duplicates = find_duplicates(
      prints, deduplicate, threads,
      [&](std::size_t document, int, std::vector<std::uint64_t>& set) {
        const auto& shingles = blocks[where[document].first].shingles;
        const auto begin = shingles.begin() + static_cast<std::ptrdiff_t>(prints[document].place);
        set.assign(begin, begin + static_cast<std::ptrdiff_t>(prints[document].shingles));
        make_set(set);
      },
      deduplicate.pairs.empty() ? nullptr : &pairs);
  std::string lines;
  std::uint64_t dropped = 0;
  for (std::uint64_t i = 0; i < duplicates.size(); ++i) {
    if (!duplicates[i].dropped()) continue;
    ++dropped;
    lines += "{\"id\":";
    base::append_json_string(lines, id_of(i));
    lines += ",\"duplicate_of\":";
    base::append_json_string(lines, id_of(duplicates[i].of));
    lines += ",\"jaccard\":";
    append_json_number(lines, duplicates[i].jaccard);
    lines += "}\n";
  }
  context.out << lines;
  if (!deduplicate.pairs.empty())
    write_pairs(deduplicate.pairs, pairs, [&](std::uint64_t i) { return std::string(id_of(i)); });
  if (!context.quiet)
    fmt::print(context.err, "{} of {} documents are duplicates ({}); {} could not be read\n",
               base::human_count(dropped), base::human_count(prints.size()),
               base::human_bytes(static_cast<double>(bytes)), base::human_count(unreadable + bad.size()));
  return 0;
}

}  // namespace curate
