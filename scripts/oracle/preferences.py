"""What TRL makes of preferences. Writes tests/golden/finetune/preferences.json (losses and their gradients of given
log-probabilities, by the methods of TRL's own trainers) and preferences.safetensors (ten steps of its trainers, from one
LoRA, on the tiny Llama "tied": losses, rewards, norms of the gradients, and A and B at the end). Needs trl and peft:
python scripts/oracle/preferences.py"""
import json, pathlib, tempfile, types, warnings
from unittest.mock import MagicMock
import torch, trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

warnings.filterwarnings("ignore")
GOLDEN = pathlib.Path(__file__).parents[2] / "tests/golden/finetune"
PAIRS, LENGTH = 4, 9


def trainer_of(**settings):
    """An object with what a loss of TRL reads of its trainer."""
    self = MagicMock()
    for name, value in settings.items():
        setattr(self, name, value)
    self.use_weighting = self.aux_loss_enabled = False
    self.accelerator.device = "cpu"
    self.accelerator.gather = self.accelerator.gather_for_metrics = lambda x: x
    self.model.training = True
    return self


def outputs_of(logs):
    return MagicMock(side_effect=MagicMock(return_value=types.SimpleNamespace(
        log_probs=logs, entropy=torch.zeros_like(logs), loss=None, aux_loss=None,
        logits=torch.zeros(len(logs), LENGTH + 1, 3), mean_logits=torch.zeros_like(logs),
        is_top1=torch.zeros_like(logs).bool())))


def dpo(logs, reference, mask, loss_type, beta, **_):
    self = trainer_of(beta=beta, loss_types=[loss_type], loss_weights=[1.0], ld_alpha=None, label_smoothing=0.0,
                      f_divergence_type="reverse_kl", precompute_ref_logps=True)
    inputs = {"input_ids": torch.zeros_like(mask), "completion_mask": mask, "attention_mask": torch.ones_like(mask),
              "ref_chosen_logps": reference[:PAIRS], "ref_rejected_logps": reference[PAIRS:]}
    return DPOTrainer._compute_loss(self, outputs_of(logs), inputs, False)


def simpo(logs, reference, mask, beta, simpo_gamma, label_smoothing, **_):
    self = trainer_of(beta=beta, loss_type="simpo", simpo_gamma=simpo_gamma, label_smoothing=label_smoothing, alpha=0.0)
    means = logs.sum(1) / mask[:, 1:].sum(1)
    return CPOTrainer.cpo_loss(self, means[:PAIRS], means[PAIRS:])[0].mean()


def orpo(logs, reference, mask, beta, **_):
    means = logs.sum(1) / mask[:, 1:].sum(1)
    return -ORPOTrainer.odds_ratio_loss(trainer_of(beta=beta), means[:PAIRS], means[PAIRS:])[0].mean()


def kto(logs, reference, mask, beta, desirable, kl, desirable_weight, undesirable_weight, **_):
    self = trainer_of(beta=beta, loss_type="kto", calculate_KL=True, precompute_ref_logps=True,
                      desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    self._compute_kl_logps = lambda model, batch: torch.full((2 * PAIRS,), float(kl))
    batch = {"input_ids": torch.zeros_like(mask), "completion_mask": mask, "attention_mask": torch.ones_like(mask),
             "label": torch.tensor(desirable), "ref_logps": reference, "ref_KL_logps": torch.zeros(2 * PAIRS)}
    return KTOTrainer._compute_loss(self, outputs_of(logs), batch, False)


def losses():
    torch.manual_seed(3)
    calls = [("dpo", dpo, dict(loss_type="sigmoid")), ("ipo", dpo, dict(loss_type="ipo")),
             ("hinge", dpo, dict(loss_type="hinge")), ("simpo", simpo, dict(simpo_gamma=0.5, label_smoothing=0.0)),
             ("simpo", simpo, dict(simpo_gamma=1.4, label_smoothing=0.1)), ("orpo", orpo, {}),
             ("kto", kto, dict(kl=0.8, desirable_weight=1.0, undesirable_weight=1.0)),
             ("kto", kto, dict(kl=-2.0, desirable_weight=1.5, undesirable_weight=0.7))]
    cases = []
    for objective, call, options in calls:
        for beta in (0.1, 0.5):
            targets = torch.randint(1, LENGTH, (2 * PAIRS,))
            mask = (torch.arange(LENGTH + 1)[None] > LENGTH - targets[:, None]).long()
            logs = (-3 * torch.rand(2 * PAIRS, LENGTH) * mask[:, 1:]).double().requires_grad_()
            reference = (-3 * torch.rand(2 * PAIRS, LENGTH) * mask[:, 1:]).double().sum(1)
            desirable = [True, False, False, True, True, False, True, True]
            loss = call(logs, reference, mask, beta=beta, desirable=desirable, **options)
            loss.backward()
            # Chosen and rejected in turn; every token of an answer has the answer's gradient.
            turn = lambda x: (x if objective == "kto" else torch.stack([x[:PAIRS], x[PAIRS:]], 1).flatten()).tolist()
            gradient = (logs.grad * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)
            cases.append({"objective": objective, "beta": beta, "desirable": desirable,
                          **{k: v for k, v in options.items() if k != "loss_type"},
                          "targets": turn(mask[:, 1:].sum(1).double()), "logs": turn(logs.sum(1).detach()),
                          "reference": turn(reference), "loss": loss.item(), "gradient": turn(gradient)})
    return cases


def words(generator, low, high):
    count = int(torch.randint(low, high, (1,), generator=generator))
    return " ".join(f"w{int(i)}" for i in torch.randint(3, 257, (count,), generator=generator))


def steps():
    """Pairs of batches of four, in order, without a clip and with a constant rate, by each trainer."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, 257)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<unk>",
                                        unk_token="<unk>")
    generator = torch.Generator().manual_seed(11)
    draw = lambda low, high: words(generator, low, high)
    pairs = [{"prompt": draw(2, 9), "chosen": " " + draw(1, 9) + " </s>", "rejected": " " + draw(1, 9) + " </s>"}
             for _ in range(40)]
    # The last two batches are all desirable, and all undesirable.
    judged = [{"prompt": pair["prompt"], "completion": pair["chosen"], "label": i % 3 != 0 if i < 32 else i < 36}
              for i, pair in enumerate(pairs)]
    common = dict(per_device_train_batch_size=4, max_steps=10, learning_rate=5e-3, lr_scheduler_type="constant",
                  logging_steps=1, report_to=[], save_strategy="no", max_length=64, max_grad_norm=1e9, use_cpu=True,
                  bf16=False, weight_decay=0.0, gradient_checkpointing=False, disable_tqdm=True, seed=5,
                  dataloader_pin_memory=False)
    runs = {
        "dpo": (DPOTrainer, DPOConfig, pairs, dict(beta=0.1)),
        "ipo": (DPOTrainer, DPOConfig, pairs, dict(beta=0.1, loss_type="ipo")),
        "hinge": (DPOTrainer, DPOConfig, pairs, dict(beta=0.1, loss_type="hinge")),
        "simpo": (CPOTrainer, CPOConfig, pairs, dict(beta=2.0, loss_type="simpo", cpo_alpha=0.0, simpo_gamma=0.5)),
        "orpo": (ORPOTrainer, ORPOConfig, pairs, dict(beta=0.1)),
        "kto": (KTOTrainer, KTOConfig, judged, dict(beta=0.5, desirable_weight=1.0, undesirable_weight=1.3)),
    }
    tensors, facts = {}, {"trl": trl.__version__, "torch": torch.__version__, "rank": "4", "alpha": "8", "rate": "5e-3"}
    start = None
    for name, (trainer_class, config, records, options) in runs.items():
        class InOrder(trainer_class):
            def _get_train_sampler(self, *_):
                return torch.utils.data.SequentialSampler(self.train_dataset)

            def create_model_card(self, *_, **__):
                pass
        model = LlamaForCausalLM.from_pretrained(GOLDEN / "tiny_llama/tied", dtype=torch.float32)
        lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", lora_dropout=0.0)
        with tempfile.TemporaryDirectory() as folder:
            trainer = InOrder(model=model, args=config(output_dir=folder, **common, **options), peft_config=lora,
                              train_dataset=Dataset.from_list(records), processing_class=tokenizer)
            state = {k: v for k, v in trainer.model.named_parameters() if v.requires_grad}
            with torch.no_grad():
                for key, value in state.items():  # the same A for every run, and B that is 0 as at every start
                    value.copy_(start[key]) if start else None
            start = start or {k: v.detach().clone() for k, v in state.items()}
            trainer.train()
        module = lambda key: key.removeprefix("base_model.model.").replace(".lora_A.default.weight", "/a").replace(
            ".lora_B.default.weight", "/b")
        tensors |= {f"{name}/after/{module(k)}": v.detach().clone().contiguous() for k, v in state.items()}
        logs = [entry for entry in trainer.state.log_history if "loss" in entry]
        keys = {k for entry in logs for k in entry if "rewards" in k or k in ("kl", "nll_loss", "log_odds_ratio",
                                                                               "log_odds_chosen")}
        for key in ["loss", "grad_norm", "logps/chosen", "logps/rejected", *sorted(keys)]:
            tensors[f"{name}/{key}"] = torch.tensor([float(entry.get(key, "nan")) for entry in logs]).double()
        facts |= {f"{name}/{k}": str(v) for k, v in options.items()}
        print(name, tensors[f"{name}/loss"].tolist(), sorted(k for k in tensors if k.startswith(name) and "after" not in k))
    tensors |= {f"start/{module(k)}": v.contiguous() for k, v in start.items()}
    ids = lambda text: tokenizer(text)["input_ids"]
    facts["pairs"] = json.dumps([[ids(p["prompt"]), ids(p["chosen"]), ids(p["rejected"])] for p in pairs])
    facts["desirable"] = json.dumps([record["label"] for record in judged])
    return {k: v.clone() for k, v in tensors.items()}, facts


if __name__ == "__main__":
    versions = {"trl": trl.__version__, "torch": torch.__version__}
    (GOLDEN / "preferences.json").write_text(json.dumps({**versions, "cases": losses()}, indent=1) + "\n")
    tensors, facts = steps()
    tensors = {k: v if v.dtype == torch.float32 else v.float() for k, v in tensors.items()}
    save_file(tensors, GOLDEN / "preferences.safetensors", facts)
