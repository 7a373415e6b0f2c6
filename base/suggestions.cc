// "did you mean": by spelling, and by what other tools call it. Tested by tests/base/options_test.cc.
#include "base/suggestions.h"

#include <algorithm>

#include "base/text.h"

namespace base {
namespace {

// Where a name is in several rows, the first whose option the command has counts.
constexpr ForeignNames kOptions[] = {
    {"dtype",
     "bf16 fp16 fp32 tf32 bfloat16 float16 float32 half torch_dtype infer_dtype precision mixed_precision outtype "
     "weights_dtype"},
    {"model",
     "base_model model_name_or_path model_name model_path model_id base_model_name_or_path "
     "pretrained_model_name_or_path pretrained_model hf_path tokenizer tokenizer_name_or_path tokenizer_path vocab "
     "base"},
    {"base",
     "base_model model model_name_or_path model_name base_model_name_or_path base_model_name model_path base_model_id"},
    {"adapter",
     "adapter_name_or_path adapter_path lora_model_dir lora_path lora_dir peft_model peft_model_id peft_model_path "
     "resume_adapter_file adapters lora_adapter"},
    {"data",
     "dataset datasets dataset_name dataset_path dataset_dir data_path data_file data_files data_dir train_data "
     "train_dataset train_file train_files training_data training_file train input_file"},
    {"input",
     "input_file input_files input_folder input_path input_dir inputs file files dataset datasets data data_path "
     "data_files infile adapter_path"},
    {"validation_data",
     "eval_dataset eval_data eval_file test_datasets test_data validation_file validation_files valid_data dev_data "
     "validation_dataset val_data"},
    {"validation_share",
     "val_set_size val_size val_ratio val_split validation_split validation_ratio validation_size test_size "
     "test_split_ratio valid_ratio dev_ratio"},
    {"output",
     "output_dir output_folder output_path output_file out out_dir outfile save_dir save_path export_dir output_model "
     "merged_model_dir"},
    {"overwrite", "overwrite_output_dir overwrite_output force clobber"},
    {"resume", "resume_from_checkpoint auto_resume_from_checkpoints resume_from restart continue"},
    {"steps",
     "max_steps num_steps total_steps iters iterations num_iterations train_steps num_train_steps max_train_steps"},
    {"epochs", "num_train_epochs num_epochs n_epochs max_epochs epoch train_epochs"},
    {"max_length",
     "sequence_len sequence_length seq_len seq_length max_seq_length max_seq_len cutoff_len cutoff_length "
     "model_max_length context_length ctx_size block_size max_sequence_length"},
    {"max_tokens", "max_new_tokens n_predict num_predict max_length max_output_tokens num_tokens"},
    {"too_long", "truncation truncation_mode overflow excess_length_strategy"},
    {"packing", "sample_packing pack neat_packing pack_dataset enable_packing"},
    {"rows_per_batch",
     "micro_batch_size per_device_train_batch_size batch_size train_batch_size per_device_batch_size "
     "device_train_batch_size train_micro_batch_size_per_gpu"},
    {"accumulate",
     "gradient_accumulation_steps grad_accumulation_steps gradient_accumulation accumulate_grad_batches grad_accum "
     "grad_accum_steps accumulation_steps grad_acc"},
    {"learning_rate", "lr peak_lr max_lr initial_learning_rate"},
    {"schedule",
     "lr_scheduler lr_scheduler_type lr_schedule scheduler scheduler_type learning_rate_schedule "
     "learning_rate_scheduler lr_decay_style"},
    {"warmup_steps", "num_warmup_steps warmup warmup_iters lr_warmup_steps lr_warmup_iters"},
    {"warmup_ratio", "warmup_fraction warmup_proportion lr_warmup_fraction"},
    {"weight_decay", "wd adam_weight_decay decay"},
    {"clip", "max_grad_norm gradient_clipping grad_clip clip_grad clip_grad_norm max_norm gradient_clip_val"},
    {"lora.rank", "lora_r lora_rank r rank lora_dim"},
    {"lora.alpha", "lora_alpha alpha"},
    {"lora.dropout", "lora_dropout dropout"},
    {"lora.targets",
     "lora_target_modules target_modules lora_target lora_target_linear lora_modules lora_layers target_linear "
     "modules"},
    {"lora.rslora", "use_rslora peft_use_rslora use_rs_lora"},
    {"device", "device_map accelerator gpu use_gpu cuda no_cuda use_cpu infer_device export_device n_gpu_layers"},
    {"seed", "random_seed data_seed random_state rng_seed"},
    {"threads",
     "num_workers workers num_proc nproc n_jobs jobs tasks num_threads n_threads cores cpus preprocessing_num_workers "
     "dataset_num_proc dataloader_num_workers dataset_processes"},
    {"eval_every",
     "eval_steps eval_interval evals_per_epoch steps_per_eval eval_freq evaluation_strategy eval_strategy "
     "val_check_interval validation_steps"},
    {"save_every",
     "save_steps save_interval saves_per_epoch checkpoint_every checkpointing_steps save_freq save_frequency "
     "save_strategy checkpoint_interval"},
    {"keep_checkpoints", "save_total_limit max_checkpoints keep_last_n_checkpoints"},
    {"log_every", "logging_steps steps_per_report log_interval log_steps log_freq logging_interval"},
    {"validation_limit", "max_eval_samples max_val_samples"},
    {"limit", "max_samples max_train_samples num_samples limit_samples max_records max_documents max_examples"},
    {"temperature", "temp"},
    {"top_p", "topp nucleus_p"},
    {"prompts", "prompt_file input_file"},
    {"system", "system_prompt default_system system_message"},
    {"chat", "apply_chat_template chat_template template"},
    {"format", "save_method export_format output_format outformat output_type"},
    {"text_field",
     "text_key text_column content_field content_key dataset_text_field text_col column content_column field"},
    {"id_field", "id_key id_column document_id"},
    {"source_field", "source_key source_column url_field url_column"},
    {"label_field", "label_column label_key label target_field"},
    {"threshold", "jaccard_threshold similarity similarity_threshold minhash_threshold jaccard sim_threshold"},
    {"words", "ngram ngrams ngram_size n_gram n_grams shingle_size"},
    {"memory", "max_memory memory_limit mem ram"},
    {"shard_size", "max_shard_size max_file_size shard_bytes export_size"},
    {"level", "compression_level compression zstd_level"},
    {"dry_run", "preview test_run"},
    {"max_bad", "max_errors error_limit"},
};

constexpr ForeignNames kWords[] = {
    {"cuda", "gpu nvidia cuda:0 0"},
    {"bfloat16", "bf16 brain_float"},
    {"float16", "fp16 half f16"},
    {"float32", "fp32 float full f32"},
    {"q8_0", "int8 8bit q8 quantized"},
    {"gguf", "llama.cpp ollama"},
    {"hf", "huggingface transformers safetensors hf_model"},
    {"peft", "vllm safetensors"},
    {"constant", "none fixed"},
    {"fasttext", "fast_text ft"},
    {"truncate", "cut truncation keep_start"},
    {"newest", "latest last recent"},
    {"parquet", "arrow"},
    {"train", "sft fine-tune finetune fit lora"},
    {"eval", "evaluate test validate perplexity"},
    {"generate", "infer inference predict complete completion"},
    {"run", "filter clean process pipeline curate"},
    {"duplicates", "dedup dedupe deduplicate minhash near-duplicates"},
    {"instruct", "chat sft instructions"},
    {"merge", "merge_and_unload merge-lora"},
    {"fuse", "combine add_weighted_adapter"},
    {"convert", "quantize quantise to-gguf"},
    {"export", "save"},
    {"info", "inspect show describe"},
    {"encode", "tokenize tokenise"},
    {"decode", "detokenize detokenise"},
    {"count", "stats"},
    {"steps", "filters list rules"},
    {"score", "label rate classify"},
    {"explain", "why debug"},
    {"report", "summary stats"},
};

bool contains(std::span<const std::string> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Ours for `foreign`, among `names`; "" when there is none.
std::string translated(std::span<const ForeignNames> table, std::string_view foreign,
                       std::span<const std::string> names) {
  for (const ForeignNames& row : table)
    if (contains(names, row.option) && contains(split(row.names, ' '), foreign)) return row.option;
  return "";
}

std::string question(const std::string& name) { return name.empty() ? "" : "did you mean '" + name + "'?"; }

}  // namespace

std::span<const ForeignNames> foreign_options() { return kOptions; }
std::span<const ForeignNames> foreign_words() { return kWords; }

std::string suggest_option(std::string_view name, std::span<const std::string> names) {
  std::string ours = translated(kOptions, name, names);
  for (const std::string& known : names)
    if (ours.empty() && known.ends_with("." + std::string(name))) ours = known;
  return question(ours.empty() ? nearest(name, names) : ours);
}

std::string suggest_word(std::string_view word, std::span<const std::string> words) {
  const std::string ours = translated(kWords, word, words);
  return question(ours.empty() ? nearest(word, words) : ours);
}

}  // namespace base
