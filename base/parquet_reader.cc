// Inside base/parquet*.cc: reading. Tested by tests/base/parquet_test.cc.
#include "base/parquet_reader.h"

#include <arrow/io/file.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <fmt/format.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/size_statistics.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "base/parquet_json.h"
#include "base/parquet_status.h"
#include "base/records_format.h"
#include "base/text.h"

namespace base {
namespace {

constexpr std::int64_t kMostRows = 4096;  // in a block
// A few bytes may stand for many equal rows; a footer that claims more than this for each byte of its file is broken.
constexpr std::uint64_t kMostRowsPerByte = 1 << 16;

// Runs `f`; the first line of what went wrong, in quotes, or "". Arrow throws and returns errors, and damaged bytes may
// also end in std::length_error and the like.
template <class F>
std::string failure_of(F&& f) {
  std::string message;
  try {
    f();
    return "";
  } catch (const std::exception& error) {
    message = error.what();
  }
  message = message.substr(0, message.find('\n'));
  return fmt::format("\"{}\"", shortened(message, 200));
}

// Memory for decoding one row group: more is refused, so that a small file cannot ask for any amount.
struct DecodingMemory {
  explicit DecodingMemory(std::size_t max_record_bytes)
      : counted(arrow::system_memory_pool()),
        capped(&counted, std::max<std::int64_t>(512 << 20, 2 * static_cast<std::int64_t>(max_record_bytes))) {}
  arrow::ProxyMemoryPool counted;
  arrow::CappedMemoryPool capped;
};

// What the blocks of one file share.
struct ParquetFile {
  std::string path;
  std::uint32_t number = 0;
  std::uint64_t size = 0;
  RecordOptions options;
  std::unique_ptr<DecodingMemory> memory;          // of the footer, which goes on using it
  std::shared_ptr<arrow::io::ReadableFile> input;  // any thread may read at any place
  std::shared_ptr<parquet::FileMetaData> metadata;

  std::unique_ptr<parquet::arrow::FileReader> reader(arrow::MemoryPool* pool, std::int64_t batch_rows) const {
    parquet::ReaderProperties properties(pool);
    properties.enable_buffered_stream();  // pages are read one after another, not whole columns
    properties.set_buffer_size(64 << 10);
    properties.set_page_checksum_verification(true);
    parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
    arrow_properties.set_pre_buffer(false);
    arrow_properties.set_should_load_statistics(false);
    arrow_properties.set_batch_size(batch_rows);
    parquet::arrow::FileReaderBuilder builder;
    check_arrow(builder.Open(input, properties, metadata));
    builder.memory_pool(pool);
    builder.properties(arrow_properties);
    return checked_arrow(builder.Build());
  }
};

// One row group. Its blocks may be asked for by several threads, in any order; they are decoded in theirs.
class RowGroup {
 public:
  struct Piece {
    std::vector<std::shared_ptr<arrow::RecordBatch>> batches;
    std::string error;         // what ended the row group inside this block
    std::int64_t decoded = 0;  // rows of the row group before the error
  };

  RowGroup(std::shared_ptr<const ParquetFile> file, int number, std::uint64_t first_row)
      : file_(std::move(file)), memory_(file_->options.max_record_bytes), number_(number), first_row_(first_row) {
    auto metadata = file_->metadata->RowGroup(number);
    rows_ = metadata->num_rows();
    std::int64_t bytes = std::max<std::int64_t>(1, metadata->total_byte_size()), values = 0;
    // Newer writers say how large the strings are that a dictionary stands for. Damage is found when the pages are
    // read.
    failure_of([&] {
      for (int i = 0; i < metadata->num_columns(); ++i) {
        auto statistics = metadata->ColumnChunk(i)->size_statistics();
        if (statistics && statistics->unencoded_byte_array_data_bytes)
          values += std::clamp<std::int64_t>(*statistics->unencoded_byte_array_data_bytes, 0, std::int64_t{1} << 40);
      }
    });
    bytes_per_row_ = std::max(1.0, static_cast<double>(std::max(bytes, values)) / static_cast<double>(rows_));
    rows_per_block_ = static_cast<std::int64_t>(static_cast<double>(file_->options.block_bytes) / bytes_per_row_);
    rows_per_block_ = std::clamp<std::int64_t>(rows_per_block_, 1, kMostRows);
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t blocks() const { return (rows_ + rows_per_block_ - 1) / rows_per_block_; }
  std::uint64_t first_row(std::int64_t block) const {
    return first_row_ + static_cast<std::uint64_t>(block * rows_per_block_);
  }

  void decode(std::int64_t number, Block& block, std::vector<BadBytes>& bad) {
    Piece piece = take(number);
    const std::size_t most = file_->options.max_record_bytes;
    std::uint64_t row = first_row(number);
    auto place = [&] { return Place{file_->number, row, row + 1}; };
    auto lost = [&](std::int64_t from, std::int64_t to, const std::string& why) {
      row = first_row_ + static_cast<std::uint64_t>(from);
      const auto bytes = std::min(static_cast<double>(file_->size), bytes_per_row_ * static_cast<double>(to - from));
      bad.push_back({place(), "", static_cast<std::uint64_t>(bytes),
                     fmt::format("{}; rows {} to {} of the file are lost", why, row + 1,
                                 first_row_ + static_cast<std::uint64_t>(to)),
                     true});
    };
    std::string failure = failure_of([&] {
      for (const auto& batch : piece.batches) {
        RowWriter writer(*batch->schema(), file_->options, most);
        for (std::int64_t i = 0; i < batch->num_rows(); ++i, ++row) {
          const std::size_t begin = block.bytes.size();
          if (begin > most + (std::size_t{64} << 20)) {
            lost(static_cast<std::int64_t>(row - first_row_), std::min(rows_, (number + 1) * rows_per_block_),
                 "Parquet rows that are far larger than the file lets expect: write it with smaller row groups");
            return;
          }
          writer.append(*batch, i, block.bytes);
          const std::size_t size = block.bytes.size() - begin;
          if (size > most) {
            bad.push_back({place(), block.bytes.substr(begin, kBadBytesKept), size, too_long_record(most)});
            block.bytes.resize(begin);
            continue;
          }
          block.bytes += '\n';
          block.places.push_back(place());
        }
      }
    });
    if (!failure.empty())
      lost(static_cast<std::int64_t>(row - first_row_), std::min(rows_, (number + 1) * rows_per_block_),
           "Parquet rows that cannot be written as JSON: " + failure);
    if (!piece.error.empty()) lost(piece.decoded, rows_, "broken Parquet pages: " + piece.error);
    if (!block.places.empty()) block.first = block.places.front();
  }

 private:
  Piece take(std::int64_t block) {
    std::lock_guard lock(mutex_);
    while (next_ <= block) {
      Piece& piece = ready_[next_++];
      if (failed_) continue;
      piece.error = failure_of([&] { read(piece); });
      piece.decoded = decoded_;
      failed_ = !piece.error.empty();
    }
    Piece piece = std::move(ready_.at(block));
    ready_.erase(block);
    if (next_ == blocks() || failed_) {
      rest_.reset();
      batches_.reset();
      reader_.reset();
    }
    return piece;
  }

  // Decodes the rows of the next block.
  void read(Piece& piece) {
    if (!batches_) {
      reader_ = file_->reader(&memory_.capped, rows_per_block_);
      batches_ = checked_arrow(reader_->GetRecordBatchReader({number_}));
    }
    for (std::int64_t wanted = std::min(rows_per_block_, rows_ - decoded_); wanted > 0;) {
      if (!rest_) check_arrow(batches_->ReadNext(&rest_));
      if (!rest_ || rest_->num_rows() == 0) throw Error("fewer rows than the footer says");
      check_arrow(rest_->Validate());
      const std::int64_t count = std::min(wanted, rest_->num_rows());
      piece.batches.push_back(rest_->Slice(0, count));
      decoded_ += count;
      wanted -= count;
      rest_ = count < rest_->num_rows() ? rest_->Slice(count) : nullptr;
    }
  }

  const std::shared_ptr<const ParquetFile> file_;
  DecodingMemory memory_;  // outlives what is decoded into it
  const int number_;
  const std::uint64_t first_row_;  // in the file, from 0
  std::int64_t rows_ = 0, rows_per_block_ = 1;
  double bytes_per_row_ = 1;
  std::mutex mutex_;  // guards what follows
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> rest_;  // of the last batch read
  std::int64_t next_ = 0, decoded_ = 0;       // blocks, rows
  std::map<std::int64_t, Piece> ready_;       // decoded, not asked for yet
  bool failed_ = false;
};

class ParquetSource final : public BlockSource {
 public:
  ParquetSource(const std::string& path, std::uint32_t number, const RecordOptions& options) {
    auto file = std::make_shared<ParquetFile>();
    file->path = path;
    file->number = number;
    file->options = options;
    file->memory = std::make_unique<DecodingMemory>(options.max_record_bytes);
    error_ = failure_of([&] {
      file->input = checked_arrow(arrow::io::ReadableFile::Open(path));
      file->size = static_cast<std::uint64_t>(checked_arrow(file->input->GetSize()));
      auto reader = file->reader(&file->memory->capped, 1);
      file->metadata = reader->parquet_reader()->metadata();
      std::shared_ptr<arrow::Schema> schema;
      check_arrow(reader->GetSchema(&schema));
      unfit_ = unfit_for_json(*schema);
      std::uint64_t rows = 0;
      for (int i = 0; i < file->metadata->num_row_groups(); ++i) {
        const std::int64_t count = file->metadata->RowGroup(i)->num_rows();
        if (count < 0) throw Error("a row group of a negative number of rows");
        rows += static_cast<std::uint64_t>(count);
        if (rows / kMostRowsPerByte > file->size) throw Error("more rows than such a file can hold");
      }
    });
    file_ = std::move(file);
  }

  bool fill(Block& block, std::vector<BadBytes>& bad) override {
    if (!error_.empty() || !unfit_.empty()) {
      bad.push_back({{file_->number, 0, 1},
                     "",
                     file_->size,
                     unfit_.empty() ? "broken Parquet footer: " + error_ : "Parquet columns of no use: " + unfit_,
                     true});
      return false;
    }
    while (!group_ || next_block_ == group_->blocks()) {
      if (group_) first_row_ += static_cast<std::uint64_t>(group_->rows());
      group_.reset();
      if (next_group_ == file_->metadata->num_row_groups()) return false;
      const int number = next_group_++;
      const std::int64_t size = file_->metadata->RowGroup(number)->total_compressed_size();
      consumed_ = std::min(file_->size, consumed_ + static_cast<std::uint64_t>(std::max<std::int64_t>(0, size)));
      next_block_ = 0;
      if (file_->metadata->RowGroup(number)->num_rows() > 0)
        group_ = std::make_shared<RowGroup>(file_, number, first_row_);
    }
    const std::int64_t number = next_block_++;
    const std::uint64_t row = group_->first_row(number);
    block.first = {file_->number, row, row + 1};
    block.decode = [group = group_, number](Block& made, std::vector<BadBytes>& unread) {
      group->decode(number, made, unread);
    };
    return true;
  }
  std::uint64_t consumed() const override { return consumed_; }
  std::uint64_t total() const override { return file_->size; }

 private:
  std::shared_ptr<const ParquetFile> file_;
  std::string error_, unfit_;
  std::shared_ptr<RowGroup> group_;
  int next_group_ = 0;
  std::int64_t next_block_ = 0;
  std::uint64_t first_row_ = 0, consumed_ = 0;
};

}  // namespace

std::shared_ptr<arrow::Schema> parquet_schema(const std::string& path) {
  std::shared_ptr<arrow::Schema> schema;
  failure_of([&] {
    ParquetFile file;
    file.memory = std::make_unique<DecodingMemory>(0);
    file.input = checked_arrow(arrow::io::ReadableFile::Open(path));
    check_arrow(file.reader(&file.memory->capped, 1)->GetSchema(&schema));
  });
  return schema;
}

std::unique_ptr<BlockSource> open_parquet_file(const std::string& path, std::uint32_t file,
                                               const RecordOptions& options) {
  return std::make_unique<ParquetSource>(path, file, options);
}

}  // namespace base
