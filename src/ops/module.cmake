kvant_module(ops DEPS ir)
