# SPDX-License-Identifier: Apache-2.0
kvant_module(zoo DEPS ops TEST_DEPS data)
