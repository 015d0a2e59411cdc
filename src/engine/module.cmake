# SPDX-License-Identifier: Apache-2.0
kvant_module(engine DEPS ops)
