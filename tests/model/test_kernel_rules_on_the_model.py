"""What `test_files_on_the_kernel` and `test_shmem_swap_on_the_kernel` hold against the kernel, on the model alone.

No kernel is needed to see that a rule broke: `make mutants` runs these.
"""

import pytest
from test_files_on_the_kernel import RULES as OF_FILES
from test_files_on_the_kernel import mapped_by_the_model as of_files
from test_shmem_swap_on_the_kernel import RULES as OF_SHMEM
from test_shmem_swap_on_the_kernel import mapped_by_the_model as of_shmem


@pytest.mark.parametrize("rule", OF_FILES)
def test_the_model_keeps_that(rule: str) -> None:
    program, *pages = OF_FILES[rule]
    assert list(of_files(program)) == pages


@pytest.mark.parametrize("rule", OF_SHMEM)
def test_the_model_keeps_of_shmem_in_swap_that(rule: str) -> None:
    program, *pages = OF_SHMEM[rule]
    assert list(of_shmem(program)) == pages
