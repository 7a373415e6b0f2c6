"""A tiny random Llama (or a family that takes its options) and a tiny tokenizer, which the oracles of lora/ share. Not a program."""
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast

TEXT = """A hornbook was a page of letters, covered by a thin sheet of horn, from which children learned to read. The
letters came first, then the syllables, then the words: ab, eb, ib, ob, ub; ba, be, bi, bo, bu. In 1587 a child paid
two pence for one. Teachers said: "Read it again, slowly, and then read it to your brother." The best pages were read
until the horn was scratched. 12 pages, 345 words, 6789 letters; nobody counted them twice. What we read first we
remember longest, and what we read often we write without thinking."""
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
            "+ '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def tokenizer(size, whole_alphabet):
    """Byte-level BPE with SmolLM's pre-tokenizer, of at most `size` tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if whole_alphabet else []))
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<|im_start|>", eos_token="<|im_end|>",
                                   pad_token="<|im_end|>", unk_token="<|endoftext|>", chat_template=TEMPLATE,
                                   clean_up_tokenization_spaces=False)


def llama(vocabulary, tied=False, biases=True, rope="llama3", seed=1, family="llama", size=0.1, wrapped=None, **others):
    """Random weights, large enough that every part of the model changes the logits."""
    torch.manual_seed(seed)
    parameters = {"rope_type": rope, "rope_theta": 500000.0}
    if rope == "llama3":
        parameters |= {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                       "original_max_position_embeddings": 64}
    sizes = dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=96,
                 vocab_size=vocabulary, max_position_embeddings=512, attention_bias=biases, tie_word_embeddings=tied,
                 rope_parameters=parameters, bos_token_id=1, eos_token_id=2, pad_token_id=None)
    if family == "falcon":
        sizes |= dict(intermediate_size="none", num_key_value_heads="none")
    if family in ("falcon", "phi", "phi3", "mixtral", "qwen2_moe"):
        sizes["attention_bias"] = "none"
    if family == "mixtral":
        others.pop("moe_intermediate_size")
    config = AutoConfig.for_model(family, **{key: value for key, value in (sizes | others).items() if value != "none"})
    if wrapped:  # around a text model
        kind, parts = wrapped
        config = AutoConfig.for_model(kind, **(dict(text_config=config.to_dict(), tie_word_embeddings=tied) | parts))
        made = AutoModelForImageTextToText.from_config(config).float().eval()
    else:
        made = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, size)
            elif "norm" in name or "ln_" in name:
                parameter.uniform_(*((-0.5, 0.5) if family.startswith("gemma") else (0.5, 1.5)))
            else:
                parameter.normal_(0, size)
    return made


def fill_adapter(adapted, seed=2, size=0.1):
    """Gives every B random numbers: PEFT starts with zeros, which change nothing."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, size)
    return adapted
