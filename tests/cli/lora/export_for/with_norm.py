# Puts a norm that was trained whole into the adapter in the folder that is named.
import json, struct, sys
folder = sys.argv[1]
data = open(folder + "/adapter_model.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header, values = json.loads(data[8:8 + size]), data[8 + size:]
header["base_model.model.model.norm.weight"] = {"dtype": "F32", "shape": [64], "data_offsets": [len(values), len(values) + 256]}
text = json.dumps(header).encode()
open(folder + "/adapter_model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + values + struct.pack("<64f", *[0.5] * 64))
config = json.load(open(folder + "/adapter_config.json"))
config["modules_to_save"] = ["norm"]
json.dump(config, open(folder + "/adapter_config.json", "w"))
