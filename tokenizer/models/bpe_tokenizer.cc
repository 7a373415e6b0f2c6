// BPE tokenizers: byte-level (GPT-2, Llama 3, Qwen 2, SmolLM) and in plain characters with "▁" (Llama 2's
// tokenizer.json, SentencePiece vocabularies inside a GGUF). Tested by tests/tokenizer/bpe_test.cc, parity_test.cc and
// encoding_test.cc.
#include "tokenizer/models/bpe_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "tokenizer/split/characters.h"
#include "tokenizer/split/normalizer.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace tokenizer {
namespace {

AddedTokenFinder finder(const BpeSpec& spec, const Normalizer& normalizer, bool of_normalized) {
  std::vector<AddedToken> tokens;
  std::vector<std::string> contents;
  for (const bool special : {true, false}) {  // of two with the same normalised text the special one is found
    for (const AddedToken& token : spec.added) {
      if (token.normalized != of_normalized || token.special != special) continue;
      tokens.push_back(token);
      contents.push_back(of_normalized ? normalizer.run(token.content) : token.content);
    }
  }
  return AddedTokenFinder(std::move(tokens), contents);
}

std::vector<SplitStep> splits_of(const BpeSpec& spec, const BpeModel& model) {
  std::vector<SplitStep> splits = spec.splits;
  // Cutting before "▁" changes no id when no merge crosses it, and lets the word cache work.
  if (spec.unigram.empty() && !spec.byte_level && !model.merges_across_words() && !spec.ignore_merges &&
      (splits.empty() || splits.back().kind != SplitStep::kMetaspaceRuns))
    splits.emplace_back(SplitStep::kMetaspaceWords);
  return splits;
}

std::vector<ByteRange> identity(ByteRange section) {
  std::vector<ByteRange> origins;
  origins.reserve(section.end - section.begin);
  for (std::size_t i = section.begin; i < section.end; ++i) origins.push_back({i, i + 1});
  return origins;
}

// Each byte comes from its character, which begins at `shift` and so on.
std::vector<ByteRange> by_characters(std::string_view text, std::size_t shift) {
  std::vector<ByteRange> origins;
  origins.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); i = origins.size()) {
    const std::size_t size = character_at(text, i).size;
    origins.insert(origins.end(), size, {shift + i, shift + i + size});
  }
  return origins;
}

// Which bytes of a normalised text come from the data.
std::vector<ByteRange> data_in(const std::vector<ByteRange>& origins, DataRanges data) {
  std::vector<ByteRange> ranges;
  for (std::size_t i = 0; i < origins.size(); ++i) {
    while (!data.empty() && data.front().end <= origins[i].begin) data = data.subspan(1);
    if (data.empty() || !data.front().overlaps(origins[i])) continue;
    if (!ranges.empty() && ranges.back().end == i)
      ++ranges.back().end;
    else
      ranges.push_back({i, i + 1});
  }
  return ranges;
}

}  // namespace

// Takes an idle Scratch, or makes one when all are in use, and gives it back.
struct BpeTokenizer::Borrowed {
  explicit Borrowed(const BpeTokenizer& owner) : owner(owner) {
    {
      std::lock_guard lock(owner.mutex_);
      if (!owner.idle_.empty()) {
        scratch = std::move(owner.idle_.back());
        owner.idle_.pop_back();
      }
    }
    if (!scratch) scratch = std::make_unique<Scratch>();
  }
  ~Borrowed() {
    std::lock_guard lock(owner.mutex_);
    owner.idle_.push_back(std::move(scratch));
  }
  const BpeTokenizer& owner;
  std::unique_ptr<Scratch> scratch;
};

BpeTokenizer::BpeTokenizer(BpeSpec spec)
    : spec_(std::move(spec)),
      model_(spec_),
      cuts_(spec_),
      normalizer_(spec_.normalizer),
      raw_added_(finder(spec_, normalizer_, false)),
      normalized_added_(finder(spec_, normalizer_, true)),
      pre_tokenizer_(splits_of(spec_, model_)),
      special_(spec_.tokens.size()),
      only_specials_(std::ranges::all_of(spec_.added, [](auto& token) { return token.special || token.normalized; })) {
  if (!spec_.unigram.empty()) unigram_.emplace(spec_);
  if (spec_.decoder) decoder_.emplace(*spec_.decoder);
  spec_.merges = {};
  for (const AddedToken& token : spec_.added) special_[token.id] = token.special;
  take(spec_.roles);
  if (!unknown) unknown = spec_.unknown;
  kind = unigram_ ? "unigram" : "bpe";
  origin = spec_.origin;
}

// What each token says when it is decoded: an added one what is looked for to find it.
BpeTokenizer::Decoding::Decoding(const BpeTokenizer& owner)
    : texts(owner.spec_.tokens.size()), widths(owner.spec_.tokens.size()) {
  const BpeSpec& spec = owner.spec_;
  const Normalizer blanks({{NormalizerStep::kReplace, std::string(kMetaspace), " "}});
  const auto with_blanks = [&](const std::string& token) { return blanks.run(token); };
  std::vector<const AddedToken*> added(spec.tokens.size());
  for (const AddedToken& token : spec.added) added[token.id] = &token;
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string token =
        added[i] ? written_token(spec, static_cast<std::int32_t>(i)) : std::string(spec.tokens[i]);
    const bool changes = added[i] && added[i]->normalized && !owner.normalizer_.empty();
    const std::string changed = changes ? owner.normalizer_.run(token) : "";
    const std::string& said = changes ? changed : token;
    widths[i] = static_cast<std::uint32_t>(token.size());
    if (spec.in_bytes && !added[i]) {
      texts[i] = token;
    } else if (spec.byte_level) {
      // An added token is its own text, unless it is the symbol of a byte as well.
      const bool is_bytes = bytes_of_token(token, texts[i]);
      widths[i] = is_bytes ? static_cast<std::uint32_t>(texts[i].size()) : 0;
      if (!is_bytes || (added[i] && (texts[i].size() != 1 || said != token))) texts[i] = said;
    } else if (unsigned byte = 0;
               !added[i] && spec.byte_fallback && token.size() == 6 && token.starts_with("<0x") &&
               std::from_chars(token.data() + 3, token.data() + 5, byte, 16).ptr == token.data() + 5) {
      texts[i] = std::string(1, static_cast<char>(byte));
      widths[i] = owner.unigram_ ? 0 : 1;  // written out in a text, it can be that very token
    } else {
      texts[i] = with_blanks(said);
    }
    if (owner.decoder_) texts[i] = said;
  }
  if (spec.unknown) widths[*spec.unknown] = 0;
}

const BpeTokenizer::Decoding& BpeTokenizer::decoding() const {
  std::call_once(decoding_once_, [&] { decoding_ = std::make_unique<const Decoding>(*this); });
  return *decoding_;
}

const TokenIds& BpeTokenizer::ids() const {
  std::call_once(ids_once_, [&] { ids_ = std::make_unique<const TokenIds>(spec_); });
  return *ids_;
}

// Where pieces go: through the cache or the model to ids and, where they are wanted, to the bytes they came from.
class BpeTokenizer::PieceSink {
 public:
  PieceSink(const BpeTokenizer& owner, Scratch& scratch, std::vector<std::int32_t>& ids,
            std::vector<ByteRange>* offsets)
      : owner_(owner), scratch_(scratch), ids_(ids), offsets_(offsets) {}

  bool wants_offsets() const { return offsets_ != nullptr; }

  // Pieces from here on lie in `text`, which begins at byte `shift` of the input, or came from `origins` of it.
  void open(std::string_view text, std::size_t shift, std::vector<ByteRange> origins) {
    if (!offsets_) return;
    flush();
    levels_.clear();
    levels_.push_back({text.data(), shift, std::move(origins)});
  }

  void token(const AddedToken& token, ByteRange range) {
    flush();
    ids_.push_back(token.id);
    if (offsets_) offsets_->push_back(levels_.empty() ? range : levels_.back().source(range));
  }

  void operator()(std::string_view piece, const char* readable) {
    if (!owner_.cuts_.any()) return add(piece, readable);
    while (!piece.empty()) {
      const std::size_t size = owner_.cuts_.first_part(piece);
      add(piece.substr(0, size), readable);
      piece.remove_prefix(size);
    }
  }

  // Encodes the pieces that wait. Called before the text that they lie in goes.
  void flush() {
    std::size_t size = ids_.size();
    for (std::size_t i = 0; i < waiting_; ++i) {
      const std::size_t before = size, most = (waiting_ - i) * WordCache::kShortIds;
      if (ids_.size() < size + WordCache::kShortIds) ids_.resize(size + most);
      if (const int count = scratch_.cache.find_short(words_[i], ids_.data() + size); count >= 0) {
        size += static_cast<std::size_t>(count);
      } else {
        ids_.resize(size);
        encode_rare(words_[i]);
        size = ids_.size();
      }
      if (offsets_) add_offsets(words_[i], before, size);
    }
    ids_.resize(size);
    waiting_ = 0;
  }

  void begin_copy(std::string_view text, const ChangedCopy& copy) {
    if (!offsets_) return;
    flush();  // what waits lies in the text above
    const Level& above = levels_.back();
    const auto at = static_cast<std::size_t>(text.data() - above.base);
    Level level{copy.text.data(), 0, {}};
    level.origins.reserve(copy.text.size());
    const std::size_t begin = above.source({at, at + 1}).begin;
    level.origins.assign(copy.added, {begin, begin});
    for (std::size_t i = 0; i < text.size(); ++i)
      level.origins.insert(level.origins.end(), copy.width(text[i]), above.source({at + i, at + i + 1}));
    levels_.push_back(std::move(level));
  }
  void end_copy() {
    flush();
    if (offsets_) levels_.pop_back();
  }

 private:
  // A text that pieces lie in, and where its bytes came from.
  struct Level {
    const char* base;
    std::size_t shift;
    std::vector<ByteRange> origins;  // empty: byte i came from byte shift + i
    ByteRange source(ByteRange range) const {
      if (origins.empty()) return {shift + range.begin, shift + range.end};
      return {origins[range.begin].begin, origins[range.end - 1].end};
    }
  };

  void add(std::string_view piece, const char* readable) {
    words_[waiting_++] = scratch_.cache.word(piece, readable);
    if (waiting_ == words_.size()) flush();
  }

  void encode_rare(const WordCache::Word& word) {
    if (scratch_.cache.find_long(word, ids_)) return;
    const std::size_t before = ids_.size();
    owner_.unigram_ ? owner_.unigram_->encode(word.text, scratch_.lattice, ids_)
                    : owner_.model_.encode(word.text, scratch_.workspace, ids_);
    scratch_.cache.insert(word, ids_.data() + before, ids_.size() - before);
  }

  // Of the ids from `first` to `last`, which `word` has become.
  void add_offsets(const WordCache::Word& word, std::size_t first, std::size_t last) {
    const std::string_view piece = word.text;
    const Level& level = levels_.back();
    const auto at = static_cast<std::size_t>(piece.data() - level.base);
    if (const std::uint8_t* known_widths = scratch_.cache.widths(word)) {  // the table of all is far away
      for (std::size_t i = first, begin = at; i < last; ++i) {
        const std::size_t behind = begin + *known_widths++;
        offsets_->push_back(level.source({begin, behind}));
        begin = behind;
      }
      return;
    }
    const auto& widths = owner_.decoding().widths;
    std::size_t end = 0;
    bool known = true;
    for (std::size_t i = first; i < last; ++i) {
      const std::size_t width = widths[ids_[i]];
      known &= width > 0;
      end += width;
    }
    if (known && end == piece.size()) {
      scratch_.cache.set_widths(word, widths.data(), ids_.data() + first);
      for (std::size_t i = first, begin = at; i < last; ++i) {
        const std::size_t behind = begin + widths[ids_[i]];
        offsets_->push_back(level.source({begin, behind}));
        begin = behind;
      }
      return;
    }
    // Unknown characters, or bytes without a token: the model says how far each id reaches.
    extents_.clear();
    again_.clear();
    owner_.unigram_ ? owner_.unigram_->encode(piece, scratch_.lattice, again_, &extents_)
                    : owner_.model_.encode(piece, scratch_.workspace, again_, extents_);
    for (const ByteRange& extent : extents_) offsets_->push_back(level.source({at + extent.begin, at + extent.end}));
  }

  const BpeTokenizer& owner_;
  Scratch& scratch_;
  std::vector<std::int32_t>& ids_;
  std::vector<ByteRange>* offsets_;
  std::array<WordCache::Word, 32> words_;
  std::size_t waiting_ = 0;
  std::vector<Level> levels_;
  std::vector<ByteRange> extents_;
  std::vector<std::int32_t> again_;
};

std::vector<std::int32_t> BpeTokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  const ByteRange all{0, text.size()};
  encode_text(text, parse_special ? DataRanges() : DataRanges(&all, 1), ids, nullptr);
  return ids;
}

Encoding BpeTokenizer::encode_with_offsets(std::string_view text, DataRanges data) const {
  Encoding encoding;
  encoding.ids.reserve(text.size() / 3 + 8);
  encoding.offsets.reserve(text.size() / 3 + 8);
  encoding.specials_as_text = encode_text(text, data, encoding.ids, &encoding.offsets);
  return encoding;
}

// Returns how many special tokens were read as characters.
std::size_t BpeTokenizer::encode_text(std::string_view text, DataRanges data, std::vector<std::int32_t>& ids,
                                      std::vector<ByteRange>* offsets) const {
  Borrowed borrowed(*this);
  PieceSink sink(*this, *borrowed.scratch, ids, offsets);
  // Nothing to find, and nobody asks how many were not found.
  if (!offsets && !data.empty() && !text.empty() && only_specials_)
    return encode_section(text, {0, text.size()}, data, sink);
  std::size_t in_sections = 0;
  const std::size_t raw = raw_added_.find(
      text, data,
      [&](std::size_t begin, std::size_t end) {
        in_sections += encode_section(text, {begin, end}, data, sink);
      },
      [&](const AddedToken& token, std::size_t begin, std::size_t end) {
        sink.open(text, 0, {});
        sink.token(token, {begin, end});
      });
  return raw + in_sections;
}

std::size_t BpeTokenizer::encode_section(std::string_view text, ByteRange section, DataRanges data,
                                         PieceSink& sink) const {
  std::string_view part = text.substr(section.begin, section.end - section.begin);
  std::string copy;
  std::vector<ByteRange> origins, start_origins;
  if (!normalizer_.empty()) {
    if (pre_tokenizer_.asks_for_start()) {
      start_origins = by_characters(part, section.begin);
      normalizer_.run_as_peer(std::string(part), start_origins);
    }
    if (sink.wants_offsets()) origins = identity(section);
    copy = normalizer_.run(std::string(part), sink.wants_offsets() ? &origins : nullptr);
    part = copy;
  }
  // How many bytes at `begin` come from the first character of the text.
  const auto at_start = [&](std::size_t begin) -> std::size_t {
    if (section.begin > 0) return 0;
    if (normalizer_.empty()) return begin == 0 ? character_at(part, 0).size : 0;
    std::size_t count = 0;
    while (begin + count < start_origins.size() && start_origins[begin + count].begin == 0) ++count;
    return count;
  };
  std::vector<ByteRange> data_here;
  if (!data.empty() && normalized_added_.has_specials())
    data_here = sink.wants_offsets() ? data_in(origins.empty() ? identity(section) : origins, data)
                                     : std::vector<ByteRange>{{0, part.size()}};
  sink.open(part, section.begin, std::move(origins));
  const std::size_t passed_over = normalized_added_.find(
      part, data_here,
      [&](std::size_t begin, std::size_t end) {
        pre_tokenizer_.run(part.substr(begin, end - begin), part.data() + part.size(), at_start(begin), sink);
      },
      [&](const AddedToken& token, std::size_t begin, std::size_t end) {
        sink.token(token, {begin, end});
      });
  sink.flush();
  return passed_over;
}

std::string BpeTokenizer::decode(const std::vector<std::int32_t>& ids, bool skip_special) const {
  if (decoder_) return decode_by_steps(ids, skip_special);
  const auto& texts = decoding().texts;
  std::string text;
  for (const std::int32_t id : ids) {
    check_id(id);
    if (!(skip_special && special_[id])) text += texts[id];
  }
  if (spec_.strip_leading_space && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

std::string BpeTokenizer::decode_by_steps(const std::vector<std::int32_t>& ids, bool skip_special) const {
  std::vector<std::string> texts;
  for (const std::int32_t id : ids) {
    check_id(id);
    if (!(skip_special && special_[id]) && !spec_.tokens[id].empty()) texts.push_back(decoding().texts[id]);
  }
  return decoder_->run(std::move(texts));
}

std::optional<std::int32_t> BpeTokenizer::id_of(std::string_view token) const { return ids().find(token); }

std::string BpeTokenizer::token(std::int32_t id) const {
  check_id(id);
  return written_token(spec_, id);
}

bool BpeTokenizer::is_special(std::int32_t id) const {
  check_id(id);
  return special_[id];
}

}  // namespace tokenizer
